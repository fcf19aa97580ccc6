"""The public function of matrix_scan."""

from __future__ import annotations

from typing import Literal, overload

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cssm_kernels import _planes
from cssm_kernels._dispatch import check_implementation
from cssm_kernels._layout import (
    aligned_reset,
    aligned_state,
    as_gate,
    broadcast_lanes,
    check_flags,
    checked_input,
    initial_state,
    lane_axis,
    lane_shape,
    state_dtype,
    state_dtype_of,
    state_shape,
    with_lanes,
)
from cssm_kernels.matrix_scan import reference, rules
from cssm_kernels.split_complex import Gate, SplitComplex, joined

IMPLEMENTATIONS = ("cpu", "triton", "xla", "sequential")
MOST_COMPONENTS = 16
_TRIANGULAR = (None, "upper", "lower")


@overload
def matrix_scan(
    A: Gate,
    x: SplitComplex,
    h0: Gate | None = None,
    *,
    axis: int = 0,
    triangular: Literal["upper", "lower"] | None = None,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[False] = False,
    implementation: str | None = None,
) -> SplitComplex: ...


@overload
def matrix_scan(
    A: Gate,
    x: SplitComplex,
    h0: Gate | None = None,
    *,
    axis: int = 0,
    triangular: Literal["upper", "lower"] | None = None,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[True],
    implementation: str | None = None,
) -> tuple[SplitComplex, Array]: ...


@overload
def matrix_scan(
    A: ArrayLike,
    x: ArrayLike,
    h0: ArrayLike | None = None,
    *,
    axis: int = 0,
    triangular: Literal["upper", "lower"] | None = None,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[False] = False,
    implementation: str | None = None,
) -> Array: ...


@overload
def matrix_scan(
    A: ArrayLike,
    x: ArrayLike,
    h0: ArrayLike | None = None,
    *,
    axis: int = 0,
    triangular: Literal["upper", "lower"] | None = None,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[True],
    implementation: str | None = None,
) -> tuple[Array, Array]: ...


def matrix_scan(
    A,
    x,
    h0=None,
    *,
    axis=0,
    triangular=None,
    reverse=False,
    reset=None,
    return_final=False,
    implementation=None,
):
    r"""Linear recurrence of small vectors, with matrices for transitions.

        h_t = A_t h_{t-1} + x_t,    t = 1 ... T,    h_0 = h0 (zero if None)

    with h_t of k components and A_t of k x k, and h_t = x_t where reset_t. With `reverse` time runs from T to 1.

    It differentiates to any order in both modes, and works under jit, vmap, remat, shard_map, sharded jit (along any axis
    but time) and jax.export.

    Args:
      A: transitions, (..., k, k), k at most 16. The dimensions before the components broadcast with x's by NumPy's rules. Of
        x's dtype or a narrower one; where x is complex A may be real, and is then kept so.
      x: inputs, (..., T, ..., k); float32, float64, complex64, complex128, bfloat16 or float16. The half-precision types are
        read and written as such, with a float32 state. Or a `SplitComplex`, with a complex64 state; A is then another, or
        real.
      h0: initial state, (..., k); broadcasts to the result's shape without `axis`. x's dtype, or float32 for the
        half-precision ones.
      axis: the time axis, counted among the dimensions of the result before its components: -1 is the last of those.
      triangular: "upper" or "lower" if A is so: the entries on the other side are not read, and get no gradient.
      reverse: run backwards in time.
      reset: bool; shape (T,), or (..., T) one flag a step of each sequence, or of as many dimensions as the result has
        before its components, broadcast to them.
      return_final: also return the last state computed, which as `h0` of a further call carries the sequence on.
      implementation: None for the best on the platform, or "cpu" (native), "triton" (CUDA, k at most 4), "xla"
        (`lax.associative_scan`), "sequential" (`lax.scan`). A named one runs or raises.

    Returns:
      h, (..., T, ..., k) of the shape that A and x broadcast to and x's dtype, a SplitComplex where x is one; with
      `return_final` the pair (h, final), final of h's shape without `axis` and of the state's dtype (float32 for the
      half-precision types).

    Raises:
      TypeError: an argument that is no floating-point array, or whose dtype does not fit in x's.
      ValueError: shapes that do not fit or broadcast, k out of range, axis out of range, unknown implementation, or one that
        does not run on the platform compiled for.
      ImportError: the native library was not built; jax-triton is asked for and missing, or does not work with this jax.

    Source: the recurrences of the HGRU-bilinear and Q/K/V state-space models, CSSM model specification 2.3 and 2.4.
    """
    check_implementation(implementation, IMPLEMENTATIONS)
    check_flags(reverse=reverse, return_final=return_final)
    if triangular not in _TRIANGULAR:
        raise ValueError(f"triangular is {triangular!r}; expected None, 'upper' or 'lower'")
    x = checked_input("x", x)
    if x.ndim == 0 or not 1 <= x.shape[-1] <= MOST_COMPONENTS:
        raise ValueError(f"x has shape {x.shape}; expected (..., k) with k from 1 to {MOST_COMPONENTS}")
    k = x.shape[-1]
    A = as_gate("A", A, x)
    if A.shape[-2:] != (k, k):
        raise ValueError(f"A has shape {A.shape}; expected (..., {k}, {k}), k x k matrices for the k of x, {x.shape}")
    shape = broadcast_lanes(x=(x, 1), A=(A, 2))
    axis = lane_axis("axis", axis, shape)
    h0 = None if h0 is None else aligned_state(joined(h0), shape, axis, state_dtype_of(x), (k,))
    reset = None if reset is None else aligned_reset(reset, shape, axis)
    A, x = with_lanes(A, len(shape), 2), with_lanes(x, len(shape), 1)
    params = dict(axis=axis, reverse=reverse, triangular=triangular, implementation=implementation)
    h, final = _planes.run(_compute, rules.of_planes, (A, x, h0, reset), **params)
    return (h, jnp.squeeze(final, axis)) if return_final else h


def _compute(A, x, h0, reset, *, axis, implementation, **params):
    """(h, final) of aligned arrays."""
    shape, k = lane_shape((A, 2), (x, 1)), x.shape[-1]
    if shape[axis] == 0:
        h = jnp.zeros((*shape, k), x.dtype)
        return h, initial_state(h0, (*state_shape(shape, axis), k), state_dtype(x.dtype))
    if implementation in ("xla", "sequential"):
        run = reference.associative if implementation == "xla" else reference.sequential
        return run(A, x, h0, reset, axis=axis, **params)
    return rules.scan(A, x, h0, reset, axis=axis, **params, implementation=implementation)
