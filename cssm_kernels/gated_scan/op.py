"""The public function of gated_scan."""

from __future__ import annotations

from typing import Literal, overload

import jax
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
    full_shape,
    initial_state,
    lane_axis,
    state_dtype,
    state_dtype_of,
    state_shape,
    with_lanes,
)
from cssm_kernels.gated_scan import reference, rules
from cssm_kernels.linear_scan import reference as linear_reference
from cssm_kernels.split_complex import Gate, SplitComplex, joined

IMPLEMENTATIONS = ("cpu", "triton", "xla", "sequential")


@overload
def gated_scan(
    a: Gate,
    b: Gate,
    x: SplitComplex,
    c: Gate | None = None,
    h0: Gate | None = None,
    *,
    axis: int = 0,
    state_axis: int | None = None,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[False] = False,
    implementation: str | None = None,
) -> SplitComplex: ...


@overload
def gated_scan(
    a: Gate,
    b: Gate,
    x: SplitComplex,
    c: Gate | None = None,
    h0: Gate | None = None,
    *,
    axis: int = 0,
    state_axis: int | None = None,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[True],
    implementation: str | None = None,
) -> tuple[SplitComplex, Array]: ...


@overload
def gated_scan(
    a: ArrayLike,
    b: ArrayLike,
    x: ArrayLike,
    c: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    axis: int = 0,
    state_axis: int | None = None,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[False] = False,
    implementation: str | None = None,
) -> Array: ...


@overload
def gated_scan(
    a: ArrayLike,
    b: ArrayLike,
    x: ArrayLike,
    c: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    axis: int = 0,
    state_axis: int | None = None,
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[True],
    implementation: str | None = None,
) -> tuple[Array, Array]: ...


def gated_scan(
    a,
    b,
    x,
    c=None,
    h0=None,
    *,
    axis=0,
    state_axis=None,
    reverse=False,
    reset=None,
    return_final=False,
    implementation=None,
):
    r"""Linear recurrence with gates on its input and its output.

        h_t = a_t h_{t-1} + b_t x_t,   y_t = c_t h_t,   t = 1 ... T,   h_0 = h0 (zero if None)

    and h_t = b_t x_t where reset_t. With `reverse` time runs from T to 1. With `state_axis` that dimension holds the states
    of one channel, and y_t = sum_n c_{t,n} h_{t,n}: Mamba-2's form is a (B, T, C, 1), b and c (B, T, 1, N), x (B, T, C, 1).

    Gates may each be broadcast in any dimensions: per frequency and shared by channels, per channel, constant in time, or a
    row beside a column. Where a native form runs they are read as they are, h and b x are never stored, and each gradient is
    summed to its gate's shape inside the kernel. It differentiates to any order in both modes, and works under jit, vmap,
    remat, shard_map, sharded jit (along any axis but time) and jax.export.

    Args:
      a, b, c: gates of the state, the input and the output (c = 1 if None). Their shapes broadcast with x's by NumPy's
        rules. Of x's dtype or a narrower one; where x is complex a gate may be real, and is then kept so.
      x: inputs; float32, float64, complex64, complex128, bfloat16 or float16. The half-precision types are read and written
        as such, with a float32 state. Or a `SplitComplex`, with a complex64 state; a gate is then another, or real.
      h0: initial state; broadcasts to the shape that a, b, x and c broadcast to, without `axis`. x's dtype, or float32 for
        the half-precision ones.
      axis: the time axis of that shape.
      state_axis: the dimension of that shape that y is summed over; None for none.
      reverse: run backwards in time.
      reset: bool; shape (T,), or (..., T) one flag a step of each sequence, or of that shape's rank, broadcast to it; of
        size 1 in `state_axis`.
      return_final: also return the last state computed, which as `h0` of a further call carries the sequence on.
      implementation: None for the best on the platform, or "cpu" (native), "triton" (CUDA), "xla" (`lax.associative_scan`),
        "sequential" (`lax.scan`). A named one runs or raises.

    Returns:
      y, of the shape that a, b, x and c broadcast to, without `state_axis`, and x's dtype, a SplitComplex where x is one;
      with `return_final` the pair (y, final), final having h0's full shape and the state's dtype (float32 for the
      half-precision types).

    Raises:
      TypeError: an argument that is no floating-point array, or whose dtype does not fit in x's.
      ValueError: shapes that do not broadcast, axes out of range or equal, unknown implementation, or one that does not run
        on the platform compiled for.
      ImportError: the native library was not built; jax-triton is asked for and missing, or does not work with this jax.

    Source: Gu and Dao, "Mamba: linear-time sequence modeling with selective state spaces" (2023); the form with states
    summed over, Dao and Gu, "Transformers are SSMs" (2024).
    """
    check_implementation(implementation, IMPLEMENTATIONS)
    check_flags(reverse=reverse, return_final=return_final)
    x = checked_input("x", x)
    gates = {"a": a, "b": b, "c": c}
    gates = {name: as_gate(name, g, x) for name, g in gates.items() if name != "c" or g is not None}
    shape = broadcast_lanes(x=(x, 0), **{name: (gate, 0) for name, gate in gates.items()})
    axis = lane_axis("axis", axis, shape)
    if state_axis is not None:
        state_axis = lane_axis("state_axis", state_axis, shape)
        if state_axis == axis:
            raise ValueError(f"state_axis is {state_axis}, which is the time axis; expected another dimension")
    h0 = None if h0 is None else aligned_state(joined(h0), shape, axis, state_dtype_of(x))
    if reset is not None:  # a reset clears every state of a channel
        reset = aligned_reset(reset, shape if state_axis is None else state_shape(shape, state_axis), axis)
    a, b, x, c = (None if v is None else with_lanes(v, len(shape)) for v in (gates["a"], gates["b"], x, gates.get("c")))
    params = dict(axis=axis, reverse=reverse, state_axis=state_axis, implementation=implementation)
    y, final = _planes.run(_compute, rules.of_planes, (a, b, x, c, h0, reset), **params)
    y = y if state_axis is None else jax.tree.map(lambda v: jnp.squeeze(v, state_axis), y)
    return (y, jnp.squeeze(final, axis)) if return_final else y


def _compute(*operands, implementation, **params):
    """(y, final) of aligned arrays."""
    shape, axis, state_axis = full_shape(*operands), params["axis"], params["state_axis"]
    if shape[axis] == 0:
        _, _, x, _, h0, _ = operands
        y = jnp.zeros(shape if state_axis is None else state_shape(shape, state_axis), x.dtype)
        return y, initial_state(h0, state_shape(shape, axis), state_dtype(x.dtype))
    if implementation == "xla":
        return reference.through(linear_reference.associative, *operands, **params)
    if implementation == "sequential":
        return reference.sequential(*operands, **params)
    return rules.scan(*operands, **params, implementation=implementation)
