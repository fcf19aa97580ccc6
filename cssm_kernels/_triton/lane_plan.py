"""What the kernels of `lane_kernels.py` are told: an operation's shape of state, where arrays lie, and how they are run."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from cssm_kernels._triton.lanes import Shape, Strides
from cssm_kernels._triton.tiling import MOST_STEPS_AHEAD


class Recurrence(NamedTuple):
    """An operation of the engine.

    Attributes:
      name: its kernels are `<name>_forward`, `_checkpoints` and `_vjp` of `cssm_kernels.<name>.triton_kernels`.
      components: how many dimensions of components each operand has, before h0 and reset.
      value: index of the operand whose dtype is the result's.
      state, output: components of the state and of y.
      option: what the operation's own functions are told.
      kept: real numbers of a state within a scan, if it is kept otherwise there than in memory.
      most_steps: how many are loaded together at most: few if a step is long.
    """

    name: str
    components: tuple[int, ...]
    value: int
    state: Shape = ()
    output: Shape = ()
    option: Any = None
    kept: int | None = None
    most_steps: int = MOST_STEPS_AHEAD


class Layout(NamedTuple):
    """Where the numbers of an array lie, counted in numbers. The first three are its `Strides`.

    Attributes:
      spacing: between components of a lane.
      run: how many components are loaded and stored in one access of up to 16 bytes.
      partial: between sums of blocks of rows, in an array that is summed over rows; 0 in others.
      parts: 1 for real, 2 for complex.
    """

    time: int
    kept: Shape
    reduced: Shape
    components: int
    spacing: int
    run: int
    partial: int
    parts: int


class Plan(NamedTuple):
    """All that a kernel knows when it is compiled. A layout is None for an absent array.

    Attributes:
      segment: steps whose states are kept at once, backwards.
      unroll: steps loaded together.
      state, parts, numbers: precision of the state, 2 where it is complex, and how many numbers it has.
      kept_parts, kept_numbers: the same within a scan.
      outputs: numbers of y.
      slots: index of each gradient among those that are wanted.
    """

    steps: int
    reverse: bool
    segment: int
    unroll: int
    kept: Shape
    reduced: Shape
    rows: int
    columns: int
    state: Any
    parts: int
    numbers: int
    kept_parts: int
    kept_numbers: int
    outputs: int
    option: Any
    operands: tuple[Layout | None, ...]
    h0: Layout | None
    reset: Layout | None
    y: Layout | None = None
    final: Layout | None = None
    ct: Layout | None = None
    ct_final: Layout | None = None
    starts: Layout | None = None
    states: Layout | None = None
    gradients: tuple[Layout | None, ...] = ()
    slots: tuple[int, ...] = ()


class ArrayType(NamedTuple):
    """An array's lanes, components and dtype; with `planes` the components come first."""

    lanes: Shape
    components: Shape
    dtype: Any
    planes: bool = False

    @property
    def shape(self) -> Shape:
        return (*self.components, *self.lanes) if self.planes else (*self.lanes, *self.components)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def layout(self, strides: Strides, is_summed: bool) -> Layout:
        count = math.prod(self.components)
        each, spacing = (1, math.prod(self.lanes)) if self.planes else (count, 1)
        run = 1 if self.planes else math.gcd(count, max(1, min(4, 16 // self.dtype.itemsize)))
        kept, reduced = (tuple(each * stride for stride in group) for group in strides[1:])
        partial = math.prod(self.shape) if is_summed else 0
        return Layout(each * strides.time, kept, reduced, count, spacing, run, partial, parts_of(self.dtype))


def parts_of(dtype: Any) -> int:
    return 2 if jnp.issubdtype(dtype, jnp.complexfloating) else 1
