"""The three primitives of spectral_scan and how they differentiate.

With p_t the adjoint state, w the columns' weights (see `fft2.rules`) over H W, and JAX's cotangents, which do not conjugate,

    p_t = rfft2(ct_t) + conj(k) p_{t+1},   dx_t = irfft2(p_t),   dk = sum_t w conj(p_t) S_{t-1},   dh0 = w k conj(p_1),

and nothing passes a step that is reset: the backward pass is the same operation, run the other way, and needs the states.
The forward pass keeps every few of them (`checkpoints`), from which the kernel runs the others again.

Operands are aligned: (batch..., time, height, width, channels), `axis` the time's.
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jax.interpreters import ad

from cssm_kernels._layout import sum_to
from cssm_kernels._primitive import RecurrencePrimitive
from cssm_kernels.fft2.rules import complex_dtype, irfft2, rfft2, weighted
from cssm_kernels.linear_scan import rules as linear
from cssm_kernels.spectral_scan import cpu, cuda
from cssm_kernels.spectral_scan.reference import last_frame

_FRAME_DIMS = 2
_CACHED_PIXELS = 8 * 1024
_MOST_SPACING = 8


def checkpoint_spacing(height: int, width: int) -> int:
    """Steps from a kept state to the next: so many that the states in between stay in a core's cache."""
    return min(max(_CACHED_PIXELS // (height * width), 2), _MOST_SPACING)


def _batch_shape(*operands):
    return jnp.broadcast_shapes(*(operand.shape[: -_FRAME_DIMS - 2] for operand in operands if operand is not None))


def _scan_results(k_hat, x, h0, reset, *, last_only, saves, returns_final, **_):
    batch = _batch_shape(k_hat, x, h0, reset)
    steps, *frame = x.shape[-4:]
    spectrum, dtype = k_hat.shape[-3:], complex_dtype(x.dtype)
    results = [((*batch, 1 if last_only else steps, *frame), x.dtype)]
    if returns_final:
        results.append(((*batch, 1, *spectrum), dtype))
    if saves:
        results.append(((*batch, (steps - 1) // checkpoint_spacing(*frame[:2]), *spectrum), dtype))
    return results


def _of_parts(implementation):
    """The implementation that the operations of a definition are asked for: those have no form in CUDA."""
    return None if implementation == "cuda" else implementation


def states_of(k_hat, x, h0, reset, *, axis, reverse, implementation) -> list[Array]:
    """(all states, the final one)"""
    implementation = _of_parts(implementation)
    (x_hat,) = rfft2(x, axis=axis + 1, implementation=implementation)
    return linear.scan(k_hat, x_hat, h0, reset, axis=axis, reverse=reverse, implementation=implementation)


def _frames(states, width, dtype, *, axis, reverse, last_only, implementation):
    states = last_frame(states, axis, reverse) if last_only else states
    (frames,) = irfft2(states, width=width, axis=axis + 1, implementation=_of_parts(implementation))
    return frames.astype(dtype)


def _scan_definition(k_hat, x, h0, reset, *, axis, reverse, last_only, saves, returns_final, implementation):
    params = dict(axis=axis, reverse=reverse, implementation=implementation)
    states, final = states_of(k_hat, x, h0, reset, **params)
    outs = [_frames(states, x.shape[-2], x.dtype, last_only=last_only, **params)]
    if returns_final:
        outs.append(final)
    if saves:
        outs.append(checkpoints(states, checkpoint_spacing(*x.shape[-3:-1]), axis=axis, reverse=reverse))
    return outs


def checkpoints(states: Array, spacing: int, *, axis: int, reverse: bool) -> Array:
    """Every `spacing`-th of all states but the last."""
    steps = states.shape[axis]
    ordered = jnp.flip(states, axis) if reverse else states
    return lax.slice_in_dim(ordered, min(spacing, steps) - 1, steps - 1, stride=spacing, axis=axis)


def _scan_native(module, k_hat, x, h0, reset, **params):
    axis = params.pop("axis")
    results = _scan_results(k_hat, x, h0, reset, **params)
    spacing = checkpoint_spacing(*x.shape[axis + 1 : axis + 3])
    return module.forward(k_hat, x, h0, reset, spacing=spacing, results=results, **params)


# (k_hat, x, h0?, reset?) -> (y, final?, checkpoints?)
scan = RecurrencePrimitive(
    "spectral_scan",
    results=_scan_results,
    definition=_scan_definition,
    native={
        ("cpu", "cpu"): functools.partial(_scan_native, cpu),
        ("cuda", "cuda"): functools.partial(_scan_native, cuda),
    },
    frame_dims=_FRAME_DIMS,
)


def _tangent_results(k_hat, x, h0, reset, checkpoints, dk, dx, dh0, *, last_only, **_):
    batch = _batch_shape(k_hat, x, h0, reset, dk, dx, dh0)
    types = _scan_results(k_hat, x, h0, reset, last_only=last_only, saves=False, returns_final=True)
    (y, dtype), (final, spectrum_dtype) = types
    return [((*batch, *y[-4:]), dtype), ((*batch, *final[-4:]), spectrum_dtype)]


def _tangent_definition(k_hat, x, h0, reset, checkpoints, dk, dx, dh0, *, last_only, **params):
    """dS_t = k dS_{t-1} + (rfft2(dx_t) + dk S_{t-1}), dy = irfft2(dS)"""
    batch = _batch_shape(k_hat, x, h0, reset, dk, dx, dh0)
    if dk is None:
        u = jnp.zeros((*batch, *x.shape[-4:]), x.dtype) if dx is None else dx
        u = jnp.broadcast_to(u, (*jnp.broadcast_shapes(u.shape[:-4], batch), *u.shape[-4:]))
        return scan(k_hat, u, dh0, reset, last_only=last_only, saves=False, returns_final=True, **params)
    axis, reverse = params["axis"], params["reverse"]
    states, _ = states_of(k_hat, x, h0, reset, **params)
    u = dk * linear.previous(states, h0, reset, axis, reverse)
    if dx is not None:
        u = u + rfft2(dx, axis=axis + 1, implementation=_of_parts(params["implementation"]))[0]
    inner = {**params, "implementation": _of_parts(params["implementation"])}
    states, final = linear.scan(k_hat, u, dh0, reset, **inner)
    return [_frames(states, x.shape[-2], x.dtype, last_only=last_only, **params), final]


# (k_hat, x, h0?, reset?, checkpoints?, dk?, dx?, dh0?) -> (dy, dfinal); linear in the last three. The checkpoints are there
# for the transpose.
tangent = RecurrencePrimitive(
    "spectral_scan_tangent",
    results=_tangent_results,
    definition=_tangent_definition,
    native={},
    frame_dims=_FRAME_DIMS,
)


def _vjp_results(k_hat, x, h0, reset, checkpoints, ct, ct_final, *, steps, width, dtype, wants_dh0, **_):
    batch = _batch_shape(k_hat, x, h0, reset, ct, ct_final)
    height, columns, channels = k_hat.shape[-3:]
    results = [] if x is None else [(k_hat.shape, k_hat.dtype)]
    results.append(((*batch, steps, height, width, channels), dtype))
    if wants_dh0:
        results.append(((*batch, 1, height, columns, channels), k_hat.dtype))
    return results


def _vjp_definition(
    k_hat, x, h0, reset, checkpoints, ct, ct_final, *, steps, width, dtype, wants_dh0, last_only, **params
):
    axis, reverse, implementation = params["axis"], params["reverse"], _of_parts(params["implementation"])
    first, last = (steps - 1, 0) if reverse else (0, steps - 1)
    batch = _batch_shape(k_hat, x, h0, reset, ct, ct_final)
    height = k_hat.shape[-3]
    g = jnp.zeros((*batch, steps, *k_hat.shape[-3:]), k_hat.dtype)
    if ct is not None:
        (ct_hat,) = rfft2(ct, axis=axis + 1, implementation=implementation)
        g = lax.dynamic_update_index_in_dim(g, ct_hat, last, axis) if last_only else g + ct_hat
    if ct_final is not None:
        at_last = lax.index_in_dim(g, last, axis) + height * width * weighted(jnp.conj(ct_final), width, -1)
        g = lax.dynamic_update_index_in_dim(g, at_last, last, axis)
    reset_next = None if reset is None else linear.shifted(reset, axis, later=reverse)
    k_conj = jnp.conj(k_hat)
    p, _ = linear.scan(k_conj, g, None, reset_next, axis=axis, reverse=not reverse, implementation=implementation)
    outs = []
    if x is not None:
        states, _ = states_of(k_hat, x, h0, reset, **params)
        dk = jnp.conj(p) * linear.previous(states, h0, reset, axis, reverse)
        outs.append(weighted(sum_to(dk, k_hat.shape), width, 1) / (height * width))
    outs.append(_frames(p, width, dtype, last_only=False, **params))
    if wants_dh0:
        dh0 = k_hat * jnp.conj(lax.index_in_dim(p, first, axis))
        if reset is not None:
            dh0 = jnp.where(lax.index_in_dim(reset, first, axis), jnp.zeros_like(dh0), dh0)
        outs.append(weighted(dh0, width, 1) / (height * width))
    return outs


def _vjp_native(module, k_hat, x, h0, reset, checkpoints, ct, ct_final, **params):
    results = _vjp_results(k_hat, x, h0, reset, checkpoints, ct, ct_final, **params)
    spacing = checkpoint_spacing(k_hat.shape[-3], params["width"])
    kept = {name: params[name] for name in ("steps", "reverse", "last_only", "wants_dh0")}
    return module.backward(k_hat, x, h0, reset, checkpoints, ct, ct_final, spacing=spacing, results=results, **kept)


# (k_hat, x?, h0?, reset?, checkpoints?, ct?, ct_final?) -> (dk?, dx, dh0?); dk is wanted if x and checkpoints are given
vjp = RecurrencePrimitive(
    "spectral_scan_vjp",
    results=_vjp_results,
    definition=_vjp_definition,
    native={
        ("cpu", "cpu"): functools.partial(_vjp_native, cpu),
        ("cuda", "cuda"): functools.partial(_vjp_native, cuda),
    },
    # dk has k_hat's shape; the kernel takes checkpoints, ct and ct_final whole.
    whole=lambda present, **_: tuple(i for i in (0, 4, 5, 6) if present[i] and (i > 0 or present[1])),
    frame_dims=_FRAME_DIMS,
)


def _scan_jvp(primals, tangents, *, saves, returns_final, **params):
    k_hat, x, h0, reset = primals
    dk, dx, dh0, _ = tangents
    keep = dk is not None
    outs = scan(k_hat, x, h0, reset, saves=saves or keep, returns_final=returns_final, **params)
    d_outs = tangent(k_hat, x, h0, reset, outs[-1] if keep else None, dk, dx, dh0, **params)
    d_outs = d_outs if returns_final else d_outs[:1]
    # Nothing is differentiated through the checkpoints: all that uses them is defined without.
    return (outs, [*d_outs, None]) if saves else (outs[: len(d_outs)], d_outs)


def _scan_transpose(cotangents, operands, is_linear, *, saves, returns_final, **params):
    k_hat, x, h0, reset = operands
    if is_linear[0]:
        raise NotImplementedError(
            "spectral_scan is not linear in k_hat and (x, h0) together: transpose it in x and h0 alone"
        )
    shape, dtype = (x.aval.shape, x.aval.dtype) if is_linear[1] else (x.shape, x.dtype)
    cotangents = cotangents[:2] if returns_final else (cotangents[0], None)
    _, gx, gh0 = _pull_back(cotangents, k_hat, None, None, reset, None, shape, dtype, is_linear[2], **params)
    gx = sum_to(gx, shape) if is_linear[1] else None
    return None, gx, sum_to(gh0, h0.aval.shape) if is_linear[2] else None, None


def _tangent_transpose(cotangents, operands, is_linear, **params):
    k_hat, x, h0, reset, checkpoints, *linear_operands = operands
    wants_dk, _, wants_dh0 = wanted = is_linear[5:]
    grads = _pull_back(
        cotangents,
        k_hat,
        x if wants_dk else None,
        h0 if wants_dk else None,
        reset,
        checkpoints if wants_dk else None,
        x.shape,
        x.dtype,
        wants_dh0,
        **params,
    )
    grads = [
        sum_to(grad, operand.aval.shape) if is_wanted else None
        for grad, operand, is_wanted in zip(grads, linear_operands, wanted)
    ]
    return None, None, None, None, None, *grads


def _pull_back(cotangents, k_hat, x, h0, reset, checkpoints, shape, dtype, wants_dh0, **params) -> tuple[Any, Any, Any]:
    """(dk, dx, dh0), None where not wanted."""
    ct, ct_final = (None if type(ct) is ad.Zero else ct for ct in cotangents)
    if ct is None and ct_final is None:
        ct = jnp.zeros(cotangents[0].aval.shape, cotangents[0].aval.dtype)
    outs = iter(
        vjp(
            k_hat, x, h0, reset, checkpoints, ct, ct_final,
            steps=shape[-4], width=shape[-2], dtype=jnp.dtype(dtype), wants_dh0=wants_dh0, **params,
        )
    )  # fmt: skip
    return None if x is None else next(outs), next(outs), next(outs) if wants_dh0 else None


scan.def_jvp(_scan_jvp)
scan.def_transpose(_scan_transpose)
tangent.def_jvp_by_definition()
tangent.def_transpose(_tangent_transpose)
vjp.def_jvp_by_definition()
