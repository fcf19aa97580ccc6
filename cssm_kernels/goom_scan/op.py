"""The public functions of goom_scan and goom_matrix_scan."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from cssm_kernels._dispatch import check_implementation
from cssm_kernels._layout import (
    SPECTRUM_DTYPES,
    aligned_reset,
    aligned_state,
    as_gate,
    broadcast_lanes,
    check_flags,
    checked_array,
    lane_axis,
    state_shape,
    with_lanes,
)
from cssm_kernels.goom import Goom
from cssm_kernels.goom_scan import published, reference, rules
from cssm_kernels.goom_scan.signature import typed
from cssm_kernels.linear_scan import reference as linear
from cssm_kernels.matrix_scan import reference as matrix
from cssm_kernels.matrix_scan.op import MOST_COMPONENTS

IMPLEMENTATIONS = ("cpu", "triton", "xla", "sequential")


@typed
def goom_scan(
    log_a,
    log_x,
    log_h0=None,
    *,
    axis=0,
    reverse=False,
    reset=None,
    return_final=False,
    compat=False,
    implementation=None,
):
    r"""The linear recurrence on complex logarithms, whose states neither over- nor underflow.

        log h_t = log(exp(log_a_t) exp(log h_{t-1}) + exp(log_x_t)),   t = 1 ... T,   log h_0 = log_h0 (zero, -inf, if None)

    and log h_t = log_x_t where reset_t. With `reverse` time runs from T to 1. A logarithm is log|z| + i arg z, that of zero
    -inf. A phase that is the floating number nearest to a multiple of pi / 2 counts as that multiple: signed real numbers
    have real states. Within the scan a state is a number times a power of two, so that 10,000 steps of magnitude 1e3 or 1e-3
    round as they would in linear space, and log h_t once more, in its last place.

    It differentiates to any order in both modes. No gradient passes a state that is exactly 0, whose logarithm has none, nor
    comes from an operand that is 0. It works under jit, vmap, remat and jax.export.

    Args:
      log_a: logarithms of the transitions: a `Goom` or an array. Its shape broadcasts with log_x's by NumPy's rules. log_x's
        dtype or a narrower one; or real, those of positive numbers, and read as such.
      log_x: logarithms of the inputs, (..., T, ...) with T on `axis`; complex64 or complex128.
      log_h0: that of the initial state; broadcasts to the result's shape without `axis`. log_x's dtype or a narrower one.
      axis: the time axis of the result.
      reverse: run backwards in time.
      reset: bool; shape (T,), or (..., T) one flag a step of each sequence, or of the result's rank, broadcast to it.
      return_final: also return the last state computed, which as `log_h0` of a further call carries the sequence on.
      compat: the published operators instead, by `lax.associative_scan`: sums clamped at 1e-7 of their largest term, with
        gradients of their own, backwards only; infinite logarithms give NaN. See `cssm_kernels.goom.compat`.
      implementation: None for the best on the platform, or "cpu" (native), "triton" (CUDA), "xla"
        (`lax.associative_scan`), "sequential" (`lax.scan`). A named one runs or raises.

    Returns:
      log_h, of the shape that log_a and log_x broadcast to, log_x's dtype, and a `Goom` if log_x is one; with `return_final`
      the pair (log_h, final), final having log_h0's full shape.

    Raises:
      TypeError: log_x is no Goom or array of complex logarithms; another argument's dtype does not fit in log_x's.
      ValueError: shapes that do not broadcast, axis out of range, unknown implementation, one that does not run on the
        platform compiled for, or another than "xla" with `compat`.
      ImportError: the native library was not built; or "triton", and jax-triton is not installed.

    Source: Heinsen and Kozachkov, "Generalized orders of magnitude for scalable, parallel, high-dynamic-range computation"
    (2025).
    """
    return _scan(0, log_a, log_x, log_h0, axis, reverse, reset, return_final, compat, implementation)


@typed
def goom_matrix_scan(
    log_a,
    log_x,
    log_h0=None,
    *,
    axis=0,
    reverse=False,
    reset=None,
    return_final=False,
    compat=False,
    implementation=None,
):
    r"""The recurrence of vectors on complex logarithms: `goom_scan` with k x k transitions, k = 1 ... 16.

        log h_t[i] = log(sum_j exp(log_a_t[i, j]) exp(log h_{t-1}[j]) + exp(log_x_t[i]))

    Each component has a magnitude of its own, of any size. "triton" takes up to 4 components. With
    `compat` an entry of a product is a sum of two terms for k = 2, two nested sums for k = 3 and one sum over the index
    otherwise, as published.

    Args:
      log_a: logarithms of the transitions, (..., k, k), a zero entry -inf; leading dimensions broadcast with log_x's.
      log_x: logarithms of the inputs, (..., T, ..., k), the vector last.
      log_h0: those of the initial state, (..., k); leading dimensions broadcast to the result's without `axis`.
      axis: the time axis, of the result without its last dimension: the last time axis possible is -1.
      reverse, reset, return_final, compat, implementation: as of `goom_scan`.

    Returns:
      log_h, (..., T, ..., k); with `return_final` the pair (log_h, final), final (..., k) without the time axis.

    Raises:
      TypeError, ImportError: as `goom_scan`.
      ValueError: as `goom_scan`, or log_a's last dimensions are not (k, k) with k at most 16.

    Source: as `goom_scan`.
    """
    return _scan(1, log_a, log_x, log_h0, axis, reverse, reset, return_final, compat, implementation)


def _scan(components, log_a, log_x, log_h0, axis, reverse, reset, return_final, compat, implementation):
    """Either function: of numbers, components 0, or of vectors, components 1."""
    check_flags(reverse=reverse, return_final=return_final, compat=compat)
    check_implementation(implementation, IMPLEMENTATIONS)
    if compat and implementation not in (None, "xla"):
        raise ValueError(f"implementation is {implementation!r}, but compat is True; expected None or 'xla'")
    of = Goom if isinstance(log_x, Goom) else lambda logs: logs
    log_x = checked_array("log_x", _logs(log_x), SPECTRUM_DTYPES)
    log_a = as_gate("log_a", _logs(log_a), log_x, "log_x")
    log_a = log_a.astype(log_x.dtype) if compat else log_a
    k = _components(log_a, log_x) if components else ()
    shape = broadcast_lanes(log_x=(log_x, components), log_a=(log_a, 2 * components))
    axis = lane_axis("axis", axis, shape)
    if log_h0 is not None:
        log_h0 = aligned_state(_logs(log_h0), shape, axis, log_x.dtype, k, "log_h0")
    reset = None if reset is None else aligned_reset(reset, shape, axis)
    if shape[axis] == 0:
        log_h = jnp.zeros(shape + k, log_x.dtype)
        start = jnp.full(k, -jnp.inf, log_x.dtype) if log_h0 is None else log_h0
        final = jnp.broadcast_to(start, state_shape(shape, axis) + k)
    else:
        run = (_form_of_vectors if components else _form_of_numbers)(compat, implementation)
        log_a, log_x = with_lanes(log_a, len(shape), 2 * components), with_lanes(log_x, len(shape), components)
        log_h, final = run(log_a, log_x, log_h0, reset, axis=axis, reverse=reverse)
    return (of(log_h), of(jnp.squeeze(final, axis))) if return_final else of(log_h)


def _form_of_numbers(compat: bool, implementation: str | None) -> Callable[..., Sequence[Array]]:
    if compat:
        return published.scan
    if implementation == "xla":
        derivatives = reference.linear_of_numbers(linear.associative)
        return functools.partial(reference.run_numbers, reference.associative, derivatives)
    if implementation == "sequential":
        derivatives = reference.linear_of_numbers(linear.sequential)
        return functools.partial(reference.run_numbers, reference.sequential, derivatives)
    return functools.partial(rules.scan, implementation=implementation)


def _form_of_vectors(compat: bool, implementation: str | None) -> Callable[..., Sequence[Array]]:
    if compat:
        return published.matrix_scan
    if implementation == "xla":
        derivatives = reference.linear_of_vectors(matrix.associative, triangular=None)
        return functools.partial(reference.run, reference.associative, derivatives)
    if implementation == "sequential":
        derivatives = reference.linear_of_vectors(matrix.sequential, triangular=None)
        return functools.partial(reference.run, reference.sequential, derivatives)
    return functools.partial(rules.matrix_scan, implementation=implementation)


def _logs(value: Any) -> Any:
    return value.log if isinstance(value, Goom) else value


def _components(log_a: Array, log_x: Array) -> tuple[int, ...]:
    """(k,), checked."""
    if log_x.ndim == 0 or not 1 <= log_x.shape[-1] <= MOST_COMPONENTS:
        raise ValueError(
            f"log_x has shape {log_x.shape}; expected (..., k), a vector of 1 to {MOST_COMPONENTS} components last"
        )
    k = log_x.shape[-1]
    if log_a.shape[-2:] != (k, k):
        raise ValueError(
            f"log_a has shape {log_a.shape}; expected (..., {k}, {k}), matrices for log_x's {k} components"
        )
    return (k,)
