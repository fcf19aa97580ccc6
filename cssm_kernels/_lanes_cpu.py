"""Calls of the native CPU handlers of the recurrences over lanes (csrc/cpu/lane_scan_ffi.cc).

Operands come in the order (inputs..., h0, reset), None where absent, in the aligned form of the operation's rules. Where x
is a pair (`SplitComplex`) so are all complex inputs, and a pair's result or gradient comes as two arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from cssm_kernels.split_complex import SplitComplex

Operand = Array | SplitComplex | None


class Lanes(NamedTuple):
    """Which recurrence is asked for, and how its operands are to be read.

    Attributes:
      op: "gated", "matrix", "delta", "goom" or "coupled".
      rank: how many dimensions are of lanes; those that follow are components.
      sizes: of the components: (states, 1), (k, 1) or (d_k, d_v).
      row_axis: a dimension of lanes that counts components instead, or -1.
      option: see the operation's kernels.
    """

    op: str
    rank: int
    sizes: tuple[int, int]
    row_axis: int = -1
    option: int = 0


# In the order of LaneOp in csrc/cpu/lane_kernels.h.
_OPS = ("gated", "matrix", "delta", "goom", "coupled")


def forward(lanes: Lanes, operands: Sequence[Operand], results: Any, *, axis: int, reverse: bool) -> list[Array]:
    """(y, final)"""
    return _call("cssm_lane_scan_forward", lanes, operands, results, axis, reverse)


def backward(
    lanes: Lanes,
    operands: Sequence[Operand],
    ct: Operand,
    ct_final: Array | None,
    wants: Sequence[bool],
    *,
    axis: int,
    reverse: bool,
) -> list[Array]:
    """The gradients wanted of (inputs..., h0), each of its operand's shape and dtype."""
    types = [
        (plane.shape, plane.dtype)
        for operand, wanted in zip(operands, wants)
        if wanted
        for plane in jax.tree.leaves(operand)
    ]
    return _call("cssm_lane_scan_backward", lanes, [*operands, ct, ct_final], types, axis, reverse, wanted=_bits(wants))


def _call(target, lanes, operands, results, axis, reverse, **more):
    types = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results]
    attributes = dict(
        op=_OPS.index(lanes.op),
        option=lanes.option,
        axis=axis,
        lane_rank=lanes.rank,
        row_axis=lanes.row_axis,
        size0=lanes.sizes[0],
        size1=lanes.sizes[1],
        present=_bits([operand is not None for operand in operands]),
        split=_bits([isinstance(operand, SplitComplex) for operand in operands]),
        **more,
    )
    call = jax.ffi.ffi_call(target, types)
    return call(
        *jax.tree.leaves(operands), reverse=reverse, **{name: np.int64(value) for name, value in attributes.items()}
    )


def _bits(flags: Sequence[bool]) -> int:
    return sum(1 << i for i, flag in enumerate(flags) if flag)
