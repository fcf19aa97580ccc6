"""The public function of coupled_scan."""

from __future__ import annotations

import functools
from typing import Literal, overload

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cssm_kernels._dispatch import check_implementation
from cssm_kernels._layout import (
    SUPPORTED_DTYPES,
    aligned_reset,
    aligned_state,
    as_dtype,
    as_gate,
    broadcast_lanes,
    check_flags,
    checked_array,
    initial_state,
    lane_axis,
    state_dtype,
    state_shape,
    with_lanes,
)
from cssm_kernels.coupled_scan import reference, rules
from cssm_kernels.gated_scan import reference as gated_reference
from cssm_kernels.linear_scan import reference as linear_reference
from cssm_kernels.matrix_scan import reference as matrix_reference

IMPLEMENTATIONS = ("cpu", "triton", "xla", "sequential")
MOST_COMPONENTS = 16
_PLAIN = {
    "xla": reference.Recurrences(
        functools.partial(gated_reference.through, linear_reference.associative), matrix_reference.associative
    ),
    "sequential": reference.Recurrences(gated_reference.sequential, matrix_reference.sequential),
}


@overload
def coupled_scan(
    G: ArrayLike,
    K: ArrayLike,
    x: ArrayLike,
    b: ArrayLike | None = None,
    c: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    axis: int = 0,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[False] = False,
    implementation: str | None = None,
) -> Array: ...


@overload
def coupled_scan(
    G: ArrayLike,
    K: ArrayLike,
    x: ArrayLike,
    b: ArrayLike | None = None,
    c: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    axis: int = 0,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[True],
    implementation: str | None = None,
) -> tuple[Array, Array]: ...


def coupled_scan(
    G,
    K,
    x,
    b=None,
    c=None,
    h0=None,
    *,
    axis=0,
    reverse=False,
    reset=None,
    return_final=False,
    implementation=None,
):
    r"""Linear recurrence of small vectors, with gates, whose matrix is the entrywise product of two.

        h_t = (G_t o K_t) h_{t-1} + b_t x_t,   y_t = c_t h_t,   t = 1 ... T,   h_0 = h0 (zero if None)

    with h_t of k components, G_t and K_t of k x k, and h_t = b_t x_t where reset_t. With `reverse` time runs from T to 1.

    It is `matrix_scan` for a transition made of gates of each step that many lanes share, G, and kernels of each lane that
    all steps share, K: on CPU both are read as they are, neither their product nor b x nor h is stored, and each gradient is
    summed to its operand's shape inside the kernel. Elsewhere it runs on matrix_scan, or on gated_scan if k is 1. It
    differentiates to any order in both modes, and works under jit, vmap, remat, shard_map, sharded jit (along any axis but
    time) and jax.export.

    Args:
      G: real, (..., k, k), k at most 16. All dimensions before the components broadcast by NumPy's rules.
      K: (..., k, k), of x's dtype or a narrower one; where x is complex K may be real, and is then kept so.
      x: inputs, (..., T, ..., k); float32, float64, complex64, complex128, bfloat16 or float16. The half-precision types are
        read and written as such, with a float32 state.
      b, c: gates of input and output, (..., k), 1 if None; dtypes as K's.
      h0: initial state, (..., k); broadcasts to the result's shape without `axis`. x's dtype, or float32 for the
        half-precision ones.
      axis: the time axis, counted among the dimensions of the result before its components: -1 is the last of those.
      reverse: run backwards in time.
      reset: bool; shape (T,), or (..., T) one flag a step of each sequence, or of as many dimensions as the result has
        before its components, broadcast to them.
      return_final: also return the last state computed, which as `h0` of a further call carries the sequence on.
      implementation: None for the best on the platform, or "cpu" (native), "triton" (CUDA, k up to 4), "xla"
        (`lax.associative_scan`), "sequential" (`lax.scan`). A named one runs or raises.

    Returns:
      y, (..., T, ..., k) of the shape that all operands broadcast to and x's dtype; with `return_final` the pair (y, final),
      final of y's shape without `axis` and of the state's dtype (float32 for the half-precision types).

    Raises:
      TypeError: an argument that is no floating-point array (a `SplitComplex` is none), or whose dtype does not fit in x's;
        a complex G.
      ValueError: shapes that do not fit or broadcast, k out of range, axis out of range, unknown implementation, or one that
        does not run on the platform compiled for.
      ImportError: the native library was not built; jax-triton is asked for and missing, or does not work with this jax.

    Source: the recurrences of the CSSM layers gated (k = 1), HGRU-bilinear and Q/K/V, CSSM model specification 2.2 to 2.4.
    """
    check_implementation(implementation, IMPLEMENTATIONS)
    check_flags(reverse=reverse, return_final=return_final)
    x = checked_array("x", x, SUPPORTED_DTYPES)
    if x.ndim == 0 or not 1 <= x.shape[-1] <= MOST_COMPONENTS:
        raise ValueError(f"x has shape {x.shape}; expected (..., k) with k from 1 to {MOST_COMPONENTS}")
    k = x.shape[-1]
    G, K = as_dtype("G", G, jnp.finfo(x.dtype).dtype, "x's precision"), as_gate("K", K, x)
    b, c = (None if gate is None else as_gate(name, gate, x) for name, gate in (("b", b), ("c", c)))
    matrices = {"G": G, "K": K}
    vectors = {name: gate for name, gate in (("b", b), ("c", c)) if gate is not None}
    for name, matrix in matrices.items():
        if matrix.shape[-2:] != (k, k):
            raise ValueError(f"{name} has shape {matrix.shape}; expected (..., {k}, {k}) for the k of x, {x.shape}")
    for name, vector in vectors.items():
        if vector.shape[-1:] != (k,):
            raise ValueError(f"{name} has shape {vector.shape}; expected (..., {k}) for the k of x, {x.shape}")
    lanes = {name: (v, 2) for name, v in matrices.items()} | {name: (v, 1) for name, v in vectors.items()}
    shape = broadcast_lanes(x=(x, 1), **lanes)
    axis = lane_axis("axis", axis, shape)
    h0 = None if h0 is None else aligned_state(h0, shape, axis, state_dtype(x.dtype), (k,))
    reset = None if reset is None else aligned_reset(reset, shape, axis)
    G, K = (with_lanes(v, len(shape), 2) for v in (G, K))
    x, b, c = (None if v is None else with_lanes(v, len(shape), 1) for v in (x, b, c))
    params = dict(axis=axis, reverse=reverse, implementation=implementation)
    y, final = _compute(G, K, x, b, c, h0, reset, **params)
    return (y, jnp.squeeze(final, axis)) if return_final else y


def _compute(*operands, axis, implementation, **params):
    """(y, final) of aligned arrays."""
    x, h0 = operands[2], operands[5]
    shape, k = reference.lanes_of(*operands), x.shape[-1]
    if shape[axis] == 0:
        return jnp.zeros((*shape, k), x.dtype), initial_state(h0, (*state_shape(shape, axis), k), state_dtype(x.dtype))
    if implementation in _PLAIN:
        return reference.through(_PLAIN[implementation], *operands, axis=axis, **params)
    return rules.scan(*operands, axis=axis, **params, implementation=implementation)
