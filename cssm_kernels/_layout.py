"""Argument checks, and the aligned form the operations work on.

Aligned: every operand has the rank of the result and each of its dimensions is full or 1, so that a broadcast operand is
read as given and nothing is transposed. The recurrence runs over `axis`; the state has size 1 there.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

FRAME_DTYPES = ("float32", "float64", "bfloat16", "float16")
SPECTRUM_DTYPES = ("complex64", "complex128")
SUPPORTED_DTYPES = (*FRAME_DTYPES, *SPECTRUM_DTYPES)


class Aligned(NamedTuple):
    """Operands of one recurrence in aligned form; `axis` is non-negative."""

    a: Array
    x: Array
    h0: Array | None
    reset: Array | None
    axis: int


def full_shape(*operands: Array | None) -> tuple[int, ...]:
    """Shape of the result that aligned operands broadcast to."""
    return np.broadcast_shapes(*(x.shape for x in operands if x is not None))


def state_shape(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Shape of the state in aligned form: the result's, with size 1 on the time axis."""
    return (*shape[:axis], 1, *shape[axis + 1 :])


def state_dtype(dtype: Any) -> Any:
    """Dtype of the carried state: float32 for the half-precision types, else `dtype` itself."""
    return jnp.dtype(jnp.float32) if dtype in (jnp.bfloat16, jnp.float16) else jnp.dtype(dtype)


def sum_to(x: Array, shape: tuple[int, ...]) -> Array:
    """Sum x over the dimensions in which `shape` is 1: the transpose of broadcasting."""
    reduced = tuple(d for d, (have, want) in enumerate(zip(x.shape, shape)) if have != want)
    return jnp.sum(x, reduced, keepdims=True) if reduced else x


def align(a: Any, x: Any, h0: Any, reset: Any, axis: Any) -> Aligned:
    """Check the arguments of a recurrence and bring them to aligned form.

    Raises:
      TypeError: an argument is no numeric array, has an unsupported dtype, or would lose precision in x's dtype.
      ValueError: an axis out of range or shapes that do not broadcast.
    """
    x = checked_array("x", x, SUPPORTED_DTYPES)
    a = _as_dtype("a", a, x.dtype, "x's dtype")
    shape = _broadcast_shapes(a, x)
    axis = _normalized_axis(axis, shape)
    rank = len(shape)
    if h0 is not None:
        h0 = _as_dtype("h0", h0, state_dtype(x.dtype), "the dtype of the state")
        without_time = shape[:axis] + shape[axis + 1 :]
        if not _broadcasts_to(h0.shape, without_time):
            raise ValueError(
                f"h0 has shape {h0.shape}; expected one that broadcasts to {without_time}, the shape {shape} of the "
                f"result without its axis {axis}"
            )
        h0 = jnp.expand_dims(h0.reshape((1,) * (rank - 1 - h0.ndim) + h0.shape), axis)
    if reset is not None:
        reset = _aligned_reset(reset, shape, axis)
    a, x = (v.reshape((1,) * (rank - v.ndim) + v.shape) for v in (a, x))
    return Aligned(a, x, h0, reset, axis)


def checked_array(name: str, value: Any, dtypes: tuple[str, ...]) -> Array:
    """`value` as an array of one of `dtypes`.

    Raises:
      TypeError: it is no numeric array, or has another dtype.
    """
    array = _array(name, value)
    if array.dtype not in dtypes:
        raise TypeError(f"{name} has dtype {array.dtype}; expected one of {', '.join(dtypes)}")
    return array


def _array(name: str, value: Any) -> Array:
    if not isinstance(value, (jax.Array, np.ndarray, np.generic, float, complex, int, list, tuple)):
        raise TypeError(
            f"{name} is a {type(value).__name__}; expected an array of one of {', '.join(SUPPORTED_DTYPES)}"
        )
    try:
        return jnp.asarray(value)
    except TypeError as error:
        raise TypeError(f"{name} is no numeric array: {error}") from error


def _as_dtype(name: str, value: Any, dtype: Any, role: str) -> Array:
    """`value` in `dtype`, if that loses nothing (a Python number always takes it)."""
    is_python_number = isinstance(value, (float, int)) or (
        isinstance(value, complex) and jnp.issubdtype(dtype, np.complexfloating)
    )
    if is_python_number and not isinstance(value, bool):
        return jnp.asarray(value, dtype)
    value = _array(name, value)
    if value.dtype == dtype:
        return value
    if value.dtype not in SUPPORTED_DTYPES or jnp.promote_types(value.dtype, dtype) != dtype:
        raise TypeError(
            f"{name} has dtype {value.dtype}; expected {dtype} ({role}) or a narrower floating-point type: cast one of them"
        )
    return value.astype(dtype)


def _broadcast_shapes(a: Array, x: Array) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(a.shape, x.shape)
    except ValueError:
        raise ValueError(f"a has shape {a.shape}, which does not broadcast with the shape {x.shape} of x") from None


def _normalized_axis(axis: Any, shape: tuple[int, ...]) -> int:
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis is {axis!r}; expected an int") from None
    if not -len(shape) <= index < len(shape):
        raise ValueError(f"axis is {index}, out of range for the shape {shape} of the result")
    return index % len(shape)


def _broadcasts_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    return len(shape) <= len(target) and all(have in (1, want) for have, want in zip(reversed(shape), reversed(target)))


def _aligned_reset(reset: Any, shape: tuple[int, ...], axis: int) -> Array:
    reset = _array("reset", reset)
    if reset.dtype != jnp.bool_:
        raise TypeError(f"reset has dtype {reset.dtype}; expected bool")
    rank, steps = len(shape), shape[axis]
    per_step = (1,) * axis + (steps,) + (1,) * (rank - axis - 1)
    if reset.ndim == 1 and rank > 1:
        if reset.shape[0] == steps:
            return reset.reshape(per_step)
    elif reset.ndim in (rank, axis + 1):
        padded = reset.shape + (1,) * (rank - reset.ndim)
        if _broadcasts_to(padded, shape):
            return reset.reshape(padded)
    raise ValueError(
        f"reset has shape {reset.shape}; expected {(steps,)} (one flag a step), one that broadcasts to "
        f"{shape[: axis + 1]} (one a step of each sequence), or one of rank {rank} that broadcasts to {shape}"
    )
