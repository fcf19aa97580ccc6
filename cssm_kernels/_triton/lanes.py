"""Aligned operands as Triton kernels see them: lanes, each a recurrence of its own, and strides.

A lane has two indices: one over the dimensions `kept` by a gate's gradient, one over those it is `reduced` over.
Neighbouring dimensions that every operand steps through evenly are merged: the usual layouts become one dimension.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Shape = tuple[int, ...]


class Strides(NamedTuple):
    """Numbers between neighbours: in time, and along each kept and each reduced dimension; 0 where broadcast."""

    time: int
    kept: Shape
    reduced: Shape


class Lanes(NamedTuple):
    kept: Shape
    reduced: Shape
    strides: tuple[Strides | None, ...]  # of each operand

    @property
    def kept_count(self) -> int:
        return math.prod(self.kept)

    @property
    def reduced_count(self) -> int:
        return math.prod(self.reduced)


def lanes_of(shape: Shape, axis: int, operands: Sequence[Shape | None], gate: Shape | None = None) -> Lanes:
    """The lanes of a result of this shape, and the strides of operands of these aligned shapes.

    Dimensions in which `gate` is broadcast are the reduced ones; without a gate all are kept.
    """
    strides = [None if operand is None else _strides(operand) for operand in operands]
    groups: list[list[int]] = [[], []]
    for d, size in enumerate(shape):
        if d != axis and size != 1:
            groups[gate is not None and gate[d] == 1].append(d)
    merged = [_merge(shape, group, [s for s in strides if s is not None]) for group in groups]
    sizes = [tuple(math.prod(shape[d] for d in run) for run in runs) for runs in merged]
    of_operands = [
        None if s is None else Strides(int(s[axis]), *(tuple(int(s[run[-1]]) for run in runs) for runs in merged))
        for s in strides
    ]
    return Lanes(sizes[0] or (1,), sizes[1] or (1,), tuple(s and _padded(s) for s in of_operands))


def _padded(strides: Strides) -> Strides:
    """No dimensions are one of size 1."""
    return Strides(strides.time, strides.kept or (0,), strides.reduced or (0,))


def _strides(shape: Shape) -> np.ndarray:
    """Of a row-major array, 0 along dimensions of size 1."""
    after = np.cumprod([1, *reversed(shape[1:])])[::-1] if shape else np.array([], int)
    return np.where(np.array(shape) == 1, 0, after)


def _merge(shape: Shape, group: list[int], strides: list[np.ndarray]) -> list[list[int]]:
    """Runs of neighbouring dimensions of a group that are one dimension to every operand."""
    runs: list[list[int]] = []
    for d in group:
        if runs and all(s[runs[-1][-1]] == s[d] * shape[d] for s in strides):
            runs[-1].append(d)
        else:
            runs.append([d])
    return runs
