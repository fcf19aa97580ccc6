"""The three primitives of projected_scan, over aligned operands.

Lanes are (batch..., time, height, width or columns), of which `axis` is the time's and the frame's are worked on whole.
Components are the channels, which a product needs together; w has a matrix of them.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from cssm_kernels._three_primitives import three_primitives
from cssm_kernels.dense import rules as dense
from cssm_kernels.fft2 import rules as fft2
from cssm_kernels.projected_scan import cpu
from cssm_kernels.spectral_scan import rules as spectral

_FRAME_DIMS = 2
_CACHED = 128 * 1024
_MOST_SPACING = 8


def checkpoint_spacing(height: int, width: int, channels: int) -> int:
    """Steps from a kept state to the next: so many that the states in between stay in a core's cache."""
    return min(max(_CACHED // (height * width * channels), 2), _MOST_SPACING)


def _batch(*operands: Any) -> tuple[int, ...]:
    """Of (x, k_hat, w, bias, h0, reset, ...)."""
    dims = operands[0].ndim - _FRAME_DIMS - 2
    return jnp.broadcast_shapes(*(operand.shape[:dims] for operand in operands if operand is not None))


def _results(x, k_hat, w, bias, h0, reset, *, returns_final, saves, filters, **_):
    batch = _batch(x, k_hat, w, bias, h0, reset)
    steps, *frame = x.shape[-4:]
    results = [((*batch, steps, *frame[:2], w.shape[-1]), x.dtype)]
    if returns_final:
        results.append(((*batch, 1, *k_hat.shape[-3:]), k_hat.dtype))
    if saves:
        kept = 0 if filters else (steps - 1) // checkpoint_spacing(*frame)
        results.append(((*batch, kept, *k_hat.shape[-3:]), k_hat.dtype))
    return results


def _definition(x, k_hat, w, bias, h0, reset, *, axis, reverse, filters, minus_x, returns_final, saves, implementation):
    batch = _batch(x, k_hat, w, bias, h0, reset)
    how: dict[str, Any] = dict(axis=axis, reverse=reverse, last_only=False, saves=False, implementation=None)
    if filters:
        outs = [filtered(x, k_hat, axis=axis)]
    else:
        outs = spectral.scan(k_hat, x, h0, reset, returns_final=returns_final, **how)
    o = _projected(outs[0], w, bias, x if minus_x else None)
    outs = [o, *outs[1:]]
    if saves and filters:
        outs.append(jnp.zeros((*batch, 0, *k_hat.shape[-3:]), k_hat.dtype))
    elif saves:
        states, _ = spectral.states_of(k_hat, x, h0, reset, axis=axis, reverse=reverse, implementation=None)
        spacing = checkpoint_spacing(*x.shape[axis + 1 :])
        outs.append(spectral.checkpoints(states, spacing, axis=axis, reverse=reverse))
    return [jnp.broadcast_to(out, (*batch, *out.shape[axis:])) for out in outs]


def filtered(x: Array, k_hat: Array, *, axis: int) -> Array:
    """irfft2(k_hat rfft2(x))"""
    (x_hat,) = fft2.rfft2(x, axis=axis + 1, implementation=None)
    (y,) = fft2.irfft2(k_hat * x_hat, width=x.shape[-2], axis=axis + 1, implementation=None)
    return y.astype(x.dtype)


def _projected(s: Array, w: Array, bias: Array | None, minus: Array | None) -> Array:
    """s w + bias - minus, by `dense`."""
    rows = s[..., None, :]
    bias = None if bias is None else bias[..., None, :]
    minus = None if minus is None else jnp.broadcast_to(minus, (*s.shape[:-1], w.shape[-1]))[..., None, :]
    return dense.dense(rows, w, bias, minus, axis=rows.ndim - 2, implementation=None)[0][..., 0, :]


def _scan_native(*operands, **params):
    spacing = checkpoint_spacing(*operands[0].shape[-3:])
    return cpu.forward(*operands, spacing=spacing, results=_results(*operands, **params), **params)


def _vjp_native(*operands, **params):
    return cpu.backward(
        *operands, spacing=checkpoint_spacing(*operands[0].shape[-3:]), batch=_batch(*operands), **params
    )


# (x, k_hat, w, bias?, h0?, reset?) -> (y, final?, checkpoints?)
scan, tangent, vjp = three_primitives(
    "projected_scan",
    results=_results,
    definition=_definition,
    linear=(0, 3, 4),
    components=1,
    frame_dims=_FRAME_DIMS,
    native_scan={("cpu", "cpu"): _scan_native},
    native_vjp={("cpu", "cpu"): _vjp_native},
    saves=True,
)
