"""What a benchmark case is, and the yardsticks it is held to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

NATIVE = "native"
"""Name of our kernel among the contenders of every case."""

TOLERANCE = 2e-5
"""Largest relative error of a result that is timed."""


class Case(Protocol):
    """Contenders that compute the same thing from the same operands."""

    @property
    def name(self) -> str:
        """Unique."""

    @property
    def bytes(self) -> int:
        """Bytes that must be moved at least."""

    @property
    def contenders(self) -> Mapping[str, str | None]:
        """Names of the contenders; the values are the case's own."""

    @property
    def triad(self) -> bool:
        """Whether `triad` of the first two operands is a yardstick too."""

    def operands(self) -> tuple[Any, ...]:
        """Inputs of every contender."""

    def function(self, contender: str) -> Callable[..., Any]:
        """The computation, to be compiled."""

    def error(self, got: Any, operands: tuple[Any, ...]) -> float:
        """Largest error of a result against double precision, relative to the largest reference value."""


def worst_error(got: Sequence[Any], expected: Sequence[Any]) -> float:
    """Largest error of several arrays, each relative to its largest reference value (1 if that is 0).

    Infinite if any is not finite.
    """
    pairs = [(np.asarray(a), b, np.abs(b).max()) for a, b in zip(got, expected, strict=True)]
    errors = [np.abs(a - b).max() / (scale or 1.0) for a, b, scale in pairs]
    return float(max(errors)) if np.isfinite(errors).all() else math.inf


def copy_operands(case: Case) -> tuple[Any]:
    """A float32 array that `copy` reads and writes in as many bytes as the case must move."""
    return (jnp.ones(case.bytes // (2 * np.dtype(np.float32).itemsize), jnp.float32),)


def copy(x: Any) -> Any:
    """One read and one write of every element. A negation: jit would hand an unchanged input straight back."""
    return -x


def triad(a: Any, x: Any, *_: Any) -> Any:
    """Two reads and one write, the traffic of a forward scan with varying a."""
    return jax.tree.map(jnp.add, a, x)
