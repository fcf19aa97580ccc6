"""Launches of the kernels of `lane_kernels.py`: recurrences with a small state in each lane, and their gradients.

A tile of lanes is gone through from the first step to the last: with few lanes much of a GPU is idle. Backwards, time is cut
into segments. A first kernel writes the state before each; the second computes the states of one segment again, into a
scratch array of that length, and walks it from its last step to its first.

A gradient is summed in the kernel over the dimensions that make up the rows of a tile, if its operand is broadcast in them
all. Where operands are broadcast in different dimensions, the rows are those that leave the least to write, and what is left
to sum is summed by XLA.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from cssm_kernels._layout import state_dtype, state_shape, sum_to
from cssm_kernels._triton.call import ABSENT, triton_call
from cssm_kernels._triton.lane_plan import ArrayType, Plan, Recurrence, parts_of
from cssm_kernels._triton.lanes import Shape, lanes_of
from cssm_kernels._triton.tiling import WARPS, power_of_two, steps_ahead, tile_of

# A sequence no longer than this is one segment.
_SHORT = 32
# Bytes of states that a thread takes, of neighbouring lanes and of rows of a tile: sums over these need registers too. A
# state of several numbers has a thread of its own, which then has all of what it loads at once.
_BYTES, _BYTES_IF_SUMMED = 16, 8


def forward(
    recurrence: Recurrence,
    operands: Sequence[Array | None],
    results: Sequence[tuple[Shape, Any]],
    *,
    axis: int,
    reverse: bool,
    summed: int | None = None,
) -> list[Array]:
    """(y, final); operands end with h0 and reset. y is summed over the lane dimension `summed`, where it has size 1."""
    problem = _Problem(recurrence, operands, axis, reverse)
    rows = problem.shape if summed is None else state_shape(problem.shape, summed)
    (y, y_dtype), (final, final_dtype) = results
    outs = {
        "y": ArrayType(y[: len(rows)], recurrence.output, y_dtype),
        "final": ArrayType(final[: len(rows)], recurrence.state, final_dtype),
    }
    return problem.run("forward", rows, {}, outs)


def backward(
    recurrence: Recurrence,
    operands: Sequence[Array | None],
    ct: Array | None,
    ct_final: Array | None,
    wants: Sequence[bool],
    *,
    axis: int,
    reverse: bool,
) -> list[Array]:
    """The gradients wanted, each of its operand's shape and dtype; operands end with h0 and reset."""
    problem = _Problem(recurrence, operands, axis, reverse)
    steps = problem.shape[axis]
    segment = steps if steps <= _SHORT else power_of_two(math.isqrt(steps))
    inputs: dict[str, tuple[Array | None, ArrayType | None]] = {
        "ct": (ct, problem.type_of(ct, recurrence.output)),
        "ct_final": (ct_final, problem.type_of(ct_final, recurrence.state)),
        "starts": (None, None),
    }
    if segment < steps:
        type_ = problem.scratch(math.ceil(steps / segment))
        (starts,) = problem.run("checkpoints", problem.shape, {}, {"starts": type_}, segment)
        inputs["starts"] = (starts, type_)
    wanted = {i: own for i, (own, w) in enumerate(zip(problem.types, wants)) if w and own is not None}
    rows = problem.best_rows(list(wanted.values()))
    outs = {i: problem.gradient(own, rows) for i, own in wanted.items()}
    _, *gradients = problem.run("vjp", rows, inputs, {"states": problem.scratch(segment), **outs}, segment)
    return [sum_to(g, own.shape).astype(own.dtype) for g, own in zip(gradients, wanted.values())]


class _Problem:
    """A recurrence on the operands given, and launches of its kernels."""

    def __init__(self, recurrence: Recurrence, operands: Sequence[Array | None], axis: int, reverse: bool) -> None:
        self.recurrence, self.operands, self.axis, self.reverse = recurrence, operands, axis, reverse
        value = operands[recurrence.value]
        assert value is not None
        self.rank = value.ndim - recurrence.components[recurrence.value]
        self.itemsize, self.dtype = value.dtype.itemsize, state_dtype(value.dtype)
        self.types = [x if x is None else self.type_of(x, x.shape[self.rank :]) for x in operands]
        self.shape: Shape = np.broadcast_shapes(*(type_.lanes for type_ in self.types if type_ is not None))

    def type_of(self, x: Array | None, components: Shape) -> ArrayType | None:
        return x if x is None else ArrayType(x.shape[: self.rank], components, x.dtype)

    def scratch(self, steps: int) -> ArrayType:
        """Room for so many states as they are within a scan, each component in an array of its own."""
        lanes = (*self.shape[: self.axis], steps, *self.shape[self.axis + 1 :])
        return ArrayType(lanes, *self.kept, planes=True)

    @property
    def kept(self) -> tuple[Shape, Any]:
        """(components, dtype) of a state within a scan."""
        if self.recurrence.kept is None:
            return self.recurrence.state, self.dtype
        return (self.recurrence.kept,), jnp.finfo(self.dtype).dtype

    def best_rows(self, wanted: list[ArrayType]) -> Shape:
        """A shape of lanes with size 1 in the dimensions to sum over, so that gradients have the fewest bytes."""
        patterns = [self.shape, *(state_shape(type_.lanes, self.axis) for type_ in wanted)]
        return min(patterns, key=lambda rows: sum(self.gradient(type_, rows).nbytes for type_ in wanted))

    def gradient(self, operand: ArrayType, rows: Shape) -> ArrayType:
        """What the kernel makes of an operand's gradient: summed over the rows if over every one, and over time."""
        is_summed = self.is_summed(operand, rows)
        lanes = tuple(
            operand.lanes[d] if d == self.axis else 1 if is_summed and rows[d] == 1 else size
            for d, size in enumerate(self.shape)
        )
        return ArrayType(
            lanes, operand.components, operand.dtype if lanes == operand.lanes else state_dtype(operand.dtype)
        )

    def is_summed(self, type_: ArrayType, rows: Shape) -> bool:
        """Whether an array has size 1 wherever rows are summed."""
        summed = [d for d, size in enumerate(rows) if d != self.axis and size != self.shape[d]]
        return bool(summed) and all(type_.lanes[d] == 1 for d in summed)

    def run(
        self,
        kernel: str,
        rows: Shape,
        inputs: Mapping[str, tuple[Array | None, ArrayType | None]],
        outs: Mapping[Any, ArrayType],
        segment: int = 0,
    ) -> list[Array]:
        """Launch a kernel on the operands, then further inputs, then results, these two under their names in `Plan`.

        A result under a number is the gradient of that operand. Those that are summed over the rows come so.
        """
        import triton.language as tl

        types = [*self.types, *(type_ for _, type_ in inputs.values()), *outs.values()]
        lanes = lanes_of(self.shape, self.axis, [type_ and type_.lanes for type_ in types], rows)
        most_lanes = most_rows = 1
        if not self.recurrence.state:
            bytes_of_lanes = _BYTES_IF_SUMMED if lanes.reduced_count > 1 else _BYTES
            most_lanes, most_rows = (max(1, n // self.dtype.itemsize) for n in (bytes_of_lanes, _BYTES))
        tile = tile_of(lanes, self.itemsize, most_lanes=most_lanes, most_rows=most_rows)
        column_blocks, row_blocks = math.ceil(lanes.kept_count / tile[1]), math.ceil(lanes.reduced_count / tile[0])
        is_summed = [False] * (len(types) - len(outs)) + [self.is_summed(out, rows) for out in outs.values()]
        layouts = [t and s and t.layout(s, summed) for t, s, summed in zip(types, lanes.strides, is_summed)]
        *operands, h0, reset = layouts[: len(self.types)]
        named = dict(zip((*inputs, *outs), layouts[len(self.types) :]))
        wanted = [name for name in outs if isinstance(name, int)]
        streams = sum(layout.components for layout in operands if layout is not None and layout.time)
        kept, kept_dtype = self.kept
        plan = Plan(
            steps=self.shape[self.axis],
            reverse=self.reverse,
            segment=segment,
            unroll=steps_ahead(streams, math.prod(tile) * self.itemsize, self.recurrence.most_steps),
            kept=lanes.kept,
            reduced=lanes.reduced,
            rows=tile[0],
            columns=tile[1],
            state=tl.float64 if self.dtype in (jnp.float64, jnp.complex128) else tl.float32,
            parts=parts_of(self.dtype),
            numbers=math.prod(self.recurrence.state),
            kept_parts=parts_of(kept_dtype),
            kept_numbers=math.prod(kept),
            outputs=math.prod(self.recurrence.output),
            option=self.recurrence.option,
            operands=tuple(operands),
            h0=h0,
            reset=reset,
            gradients=tuple(named.pop(i, None) for i in range(len(operands) + 1)),
            slots=tuple(wanted.index(i) if i in wanted else 0 for i in range(len(operands) + 1)),
            **named,
        )
        is_partial = [row_blocks > 1 and summed for summed in is_summed[-len(outs) :]]
        results = [
            ((row_blocks, *out.shape), state_dtype(out.dtype)) if partial else (out.shape, out.dtype)
            for out, partial in zip(outs.values(), is_partial)
        ]
        unwanted = {f"g{i}": None for i in range(len(wanted), len(operands) + 1)}
        found = triton_call(
            self._kernel(kernel),
            [ABSENT if x is None else x for x in (*self.operands, *(x for x, _ in inputs.values()))],
            results,
            programs=column_blocks * row_blocks,
            num_warps=WARPS,
            name=f"cssm_{self.recurrence.name}_{kernel}",
            PLAN=plan,
            **(unwanted if wanted else {}),
        )
        return [
            jnp.sum(array, 0).astype(out.dtype) if partial else array
            for array, out, partial in zip(found, outs.values(), is_partial)
        ]

    def _kernel(self, kernel: str) -> Any:
        name = self.recurrence.name
        return getattr(importlib.import_module(f"cssm_kernels.{name}.triton_kernels"), f"{name}_{kernel}")
