"""The public function of linear_scan."""

from __future__ import annotations

from typing import Literal, overload

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cssm_kernels import _planes
from cssm_kernels._dispatch import check_implementation
from cssm_kernels._layout import align, check_flags, full_shape, initial_state, state_dtype, state_shape
from cssm_kernels.linear_scan import of_planes, reference, rules
from cssm_kernels.split_complex import Gate, SplitComplex

IMPLEMENTATIONS = ("cpu", "triton", "xla", "sequential")


@overload
def linear_scan(
    a: Gate,
    x: SplitComplex,
    h0: Gate | None = None,
    *,
    axis: int = 0,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[False] = False,
    implementation: str | None = None,
) -> SplitComplex: ...


@overload
def linear_scan(
    a: Gate,
    x: SplitComplex,
    h0: Gate | None = None,
    *,
    axis: int = 0,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[True],
    implementation: str | None = None,
) -> tuple[SplitComplex, Array]: ...


@overload
def linear_scan(
    a: ArrayLike,
    x: ArrayLike,
    h0: ArrayLike | None = None,
    *,
    axis: int = 0,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[False] = False,
    implementation: str | None = None,
) -> Array: ...


@overload
def linear_scan(
    a: ArrayLike,
    x: ArrayLike,
    h0: ArrayLike | None = None,
    *,
    axis: int = 0,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[True],
    implementation: str | None = None,
) -> tuple[Array, Array]: ...


def linear_scan(
    a,
    x,
    h0=None,
    *,
    axis=0,
    reverse=False,
    reset=None,
    return_final=False,
    implementation=None,
):
    r"""First-order linear recurrence along one axis.

        h_t = a_t h_{t-1} + x_t,    t = 1 ... T,    h_0 = h0 (zero if None)

    and h_t = x_t where reset_t: the state is cleared before that step, as at the start of each of several packed
    sequences. With `reverse` time runs from T to 1: h_t = a_t h_{t+1} + x_t, from h_{T+1} = h0.

    On CPU it runs as one fused native kernel, forward and backward, that reads each operand once, in place, whatever the
    axis; on CUDA as Triton kernels, where jax-triton is installed. It differentiates to any order in both modes, and works
    under jit, vmap, remat, shard_map, sharded jit (along any axis but time) and jax.export.

    Args:
      a: transitions. Its shape broadcasts with x's by NumPy's rules; a broadcast `a` (constant in time, shared by a batch
        or by channels) is read as it is, and its gradient is summed inside the kernel. x's dtype or a narrower one.
      x: inputs, (..., T, ...) with T on `axis`; float32, float64, complex64, complex128, bfloat16 or float16. The
        half-precision types are read and written as such, with a float32 state. Or a `SplitComplex`, with a complex64
        state; `a` is then another, or real.
      h0: initial state; broadcasts to the result's shape without `axis`. x's dtype, or float32 for the half-precision ones.
      axis: the time axis of the result.
      reverse: run backwards in time.
      reset: bool; shape (T,), or (..., T) one flag a step of each sequence, or of the result's rank, broadcast to it.
      return_final: also return the last state computed, which as `h0` of a further call carries the sequence on.
      implementation: None for the best on the platform, or "cpu" (native), "triton" (CUDA), "xla" (`lax.associative_scan`),
        "sequential" (`lax.scan`). A named one runs or raises.

    Returns:
      h, of the shape that a and x broadcast to and x's dtype, a SplitComplex where x is one; with `return_final` the pair
      (h, final), final having h0's full shape and the state's dtype (float32 for the half-precision types).

    Raises:
      TypeError: an argument that is no floating-point array, or whose dtype does not fit in x's.
      ValueError: shapes that do not broadcast, axis out of range, unknown implementation, or one that does not run on the
        platform compiled for.
      ImportError: the native library was not built; jax-triton is asked for and missing, or does not work with this jax.

    Source: Blelloch, "Prefix sums and their applications" (1990), for the parallel form this replaces; the backward
    recurrence is in Martin and Cundy, "Parallelizing linear recurrent neural nets over sequence length" (2018).
    """
    check_implementation(implementation, IMPLEMENTATIONS)
    a, x, h0, reset, axis = align(a, x, h0, reset, axis)
    check_flags(reverse=reverse, return_final=return_final)
    params = dict(axis=axis, reverse=reverse, implementation=implementation)
    h, final = _planes.run(_compute, of_planes.scan, (a, x, h0, reset), **params)
    return (h, jnp.squeeze(final, axis)) if return_final else h


def _compute(a, x, h0, reset, *, axis, reverse, implementation):
    """(h, final) of aligned arrays."""
    shape = full_shape(a, x)
    if shape[axis] == 0:
        h = jnp.zeros(shape, x.dtype)
        return h, initial_state(h0, state_shape(shape, axis), state_dtype(x.dtype))
    if implementation in ("xla", "sequential"):
        run = reference.associative if implementation == "xla" else reference.sequential
        return run(a, x, h0, reset, axis=axis, reverse=reverse)
    return rules.scan(a, x, h0, reset, axis=axis, reverse=reverse, implementation=implementation)
