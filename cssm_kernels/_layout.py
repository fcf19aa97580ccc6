"""Argument checks, and the aligned form the operations work on.

Aligned: every operand has the lane dimensions of the result, each full or 1, so that a broadcast operand is read as given
and nothing is transposed. The recurrence runs over `axis`, a lane dimension; the state has size 1 there. A vector or a
matrix in each lane has its components in further, trailing dimensions.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cssm_kernels.split_complex import SplitComplex, checked_planes, joined

FRAME_DTYPES = ("float32", "float64", "bfloat16", "float16")
SPECTRUM_DTYPES = ("complex64", "complex128")
SUPPORTED_DTYPES = (*FRAME_DTYPES, *SPECTRUM_DTYPES)


class Aligned(NamedTuple):
    """Operands of one recurrence in aligned form; `axis` is non-negative. a and x may be pairs."""

    a: Array
    x: Array
    h0: Array | None
    reset: Array | None
    axis: int


def full_shape(*operands: Array | None) -> tuple[int, ...]:
    """Shape of the result that aligned operands broadcast to."""
    return np.broadcast_shapes(*(x.shape for x in operands if x is not None))


def lane_shape(*operands: tuple[Array | None, int]) -> tuple[int, ...]:
    """The lanes that aligned operands, each given with its number of component dimensions, broadcast to."""
    return np.broadcast_shapes(*(x.shape[: x.ndim - components] for x, components in operands if x is not None))


def state_shape(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Shape of the state in aligned form: the result's, with size 1 on the time axis."""
    return (*shape[:axis], 1, *shape[axis + 1 :])


def initial_state(h0: Array | None, shape: tuple[int, ...], dtype: Any) -> Array:
    """h0 broadcast to the state's shape; zeros if there is none."""
    return jnp.zeros(shape, dtype) if h0 is None else jnp.broadcast_to(h0, shape)


def with_lanes(x: Any, lanes: int, components: int = 0) -> Any:
    """x, an array or a pair, with leading dimensions of size 1 up to this number of lane dimensions."""
    return jax.tree.map(lambda v: v.reshape((1,) * (lanes + components - x.ndim) + x.shape), x)


def state_dtype(dtype: Any) -> Any:
    """Dtype of the carried state: float32 for the half-precision types, else `dtype` itself."""
    return jnp.dtype(jnp.float32) if dtype in (jnp.bfloat16, jnp.float16) else jnp.dtype(dtype)


def state_dtype_of(x: Array | SplitComplex) -> Any:
    """That of the state beside these inputs: complex64 for pairs."""
    return jnp.dtype(jnp.complex64) if isinstance(x, SplitComplex) else state_dtype(x.dtype)


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
    x = checked_input("x", x)
    a = as_operand("a", a, x)
    shape = broadcast_lanes(x=(x, 0), a=(a, 0))
    axis = lane_axis("axis", axis, shape)
    h0 = None if h0 is None else aligned_state(joined(h0), shape, axis, state_dtype_of(x))
    reset = None if reset is None else aligned_reset(reset, shape, axis)
    return Aligned(with_lanes(a, len(shape)), with_lanes(x, len(shape)), h0, reset, axis)


def broadcast_lanes(**operands: tuple[Any, int]) -> tuple[int, ...]:
    """The lanes that operands broadcast to by NumPy's rules, each named and given with its number of component dimensions.

    Raises:
      ValueError: they do not.
    """
    shape: tuple[int, ...] = ()
    before: list[str] = []
    for name, (x, components) in operands.items():
        lanes = x.shape[: x.ndim - components]
        try:
            shape = np.broadcast_shapes(shape, lanes)
        except ValueError:
            which, do = ("shape", "does") if components == 0 else ("leading dimensions", "do")
            raise ValueError(
                f"{name} has {which} {lanes}, which {do} not broadcast with the {which} {shape} of {', '.join(before)}"
            ) from None
        before.append(name)
    return shape


def aligned_state(
    h0: Any, shape: tuple[int, ...], axis: int, dtype: Any, components: tuple[int, ...] = (), name: str = "h0"
) -> Array:
    """h0 in aligned form, for lanes of this shape; its components, if any, are as given, and its name is for messages.

    Raises:
      TypeError: it is no array of this dtype or a narrower one.
      ValueError: it does not broadcast to the lanes without their time axis, or has other components.
    """
    h0 = as_dtype(name, h0, dtype, "the dtype of the state")
    lanes = shape[:axis] + shape[axis + 1 :]
    own = len(components)
    if h0.ndim < own or h0.shape[h0.ndim - own :] != components or not _broadcasts_to(h0.shape[: h0.ndim - own], lanes):
        raise ValueError(
            f"{name} has shape {h0.shape}; expected one that broadcasts to {lanes + components}, the shape "
            f"{shape + components} of the {'states' if own else 'result'} without its axis {axis}"
        )
    return jnp.expand_dims(with_lanes(h0, len(lanes), own), axis)


def checked_array(name: str, value: Any, dtypes: tuple[str, ...]) -> Array:
    """`value` as an array of one of `dtypes`.

    Raises:
      TypeError: it is no numeric array, or has another dtype.
    """
    array = _array(name, value)
    if array.dtype not in dtypes:
        raise TypeError(f"{name} has dtype {array.dtype}; expected one of {', '.join(dtypes)}")
    return array


def checked_input(name: str, value: Any) -> Any:
    """`value` as an array of a supported dtype, or as a pair.

    Raises:
      TypeError: it is neither.
      ValueError: a pair's planes differ in shape.
    """
    if isinstance(value, SplitComplex):
        return SplitComplex(*checked_planes(f"{name}.re", value.re, f"{name}.im", value.im))
    return checked_array(name, value, SUPPORTED_DTYPES)


def _array(name: str, value: Any) -> Array:
    if not isinstance(value, (jax.Array, np.ndarray, np.generic, float, complex, int, list, tuple)):
        raise TypeError(
            f"{name} is a {type(value).__name__}; expected an array of one of {', '.join(SUPPORTED_DTYPES)}"
        )
    try:
        return jnp.asarray(value)
    except TypeError as error:
        raise TypeError(f"{name} is no numeric array: {error}") from error


def as_dtype(name: str, value: Any, dtype: Any, role: str) -> Array:
    """`value` in `dtype`, if that loses nothing (a Python number always takes it).

    Raises:
      TypeError: it is no numeric array, or would lose precision.
    """
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


def as_operand(name: str, value: Any, x: Any, of: str = "x") -> Any:
    """`value` in the dtype of x, which is the argument `of`; beside a pair, as `as_gate` has it."""
    if isinstance(x, SplitComplex):
        return as_gate(name, value, x, of)
    return as_dtype(name, value, x.dtype, f"{of}'s dtype")


def as_gate(name: str, value: Any, x: Any, of: str = "x") -> Any:
    """`value` in the dtype of x, which is the argument `of`; but a real gate of a complex x stays real, in x's precision:
    half the bytes, and a real gradient. Beside a pair it is a pair, or real.

    Raises:
      TypeError: it is no numeric array, would lose precision, or is complex beside a pair, or a pair beside an array.
    """
    if isinstance(x, SplitComplex):
        role = f"{of}'s dtype"
        if isinstance(value, SplitComplex):
            return jax.tree.map(lambda plane: as_dtype(name, plane, x.dtype, role), checked_input(name, value))
        if jnp.iscomplexobj(value):
            raise TypeError(
                f"{name} has dtype {jnp.result_type(value)}; expected a SplitComplex of {x.dtype}, as {of} is, or a real "
                "array"
            )
        return as_dtype(name, value, x.dtype, role)
    if jnp.iscomplexobj(x) and not jnp.iscomplexobj(value):
        return as_dtype(name, value, jnp.finfo(x.dtype).dtype, f"{of}'s precision")
    return as_dtype(name, value, x.dtype, f"{of}'s dtype")


def lane_axis(name: str, axis: Any, shape: tuple[int, ...]) -> int:
    """An index of a lane dimension, non-negative.

    Raises:
      TypeError: it is no integer.
      ValueError: it is out of range.
    """
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(f"{name} is {axis!r}; expected an int") from None
    if not -len(shape) <= index < len(shape):
        raise ValueError(f"{name} is {index}, out of range for the shape {shape} of the result")
    return index % len(shape)


def check_flags(**flags: Any) -> None:
    """Raise a TypeError unless each is a bool."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}; expected a bool")


def _broadcasts_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    return len(shape) <= len(target) and all(have in (1, want) for have, want in zip(reversed(shape), reversed(target)))


def aligned_reset(reset: Any, shape: tuple[int, ...], axis: int) -> Array:
    """reset in aligned form, for lanes of this shape.

    Raises:
      TypeError: it is no array of bool.
      ValueError: its shape is none of the three forms.
    """
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
