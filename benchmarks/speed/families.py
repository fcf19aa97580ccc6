"""The modes, in families that compute the same thing from the same numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.lanes import Make, normal, small_matrix, transition
from benchmarks.speed.arithmetic import LOGARITHMS, REAL_LOGARITHMS, Arithmetic, Parts, linear, phases, signs
from benchmarks.speed.scans import associative, sequential
from cssm_kernels import goom_matrix_scan, goom_scan, linear_scan, matrix_scan

FLOAT32, BFLOAT16, FLOAT8 = 1e-4, 0.1, 0.9
"""Largest error allowed, relative to the largest value. A logarithm in three bits of mantissa is barely a number."""

STATES = 3


@dataclass(frozen=True)
class Mode:
    """One way to compute the recurrence.

    Attributes:
      scan: (a, x) -> h, each the parts of an array in this arithmetic.
      tolerance: largest error of values and gradients, relative to the largest.
      nonlinear: whether each state is squashed, which makes it another recurrence.
    """

    name: str
    arithmetic: Arithmetic
    scan: Callable[[Parts, Parts], Parts]
    tolerance: float = FLOAT32
    nonlinear: bool = False


@dataclass(frozen=True)
class Family:
    """Modes on the same numbers. The first mode is ours, to which ratios are taken.

    Attributes:
      vectors: 3-vectors under 3 x 3 matrices, or numbers.
      transition, input: make the numbers of a shape.
    """

    name: str
    vectors: bool
    transition: Make
    input: Make
    modes: tuple[Mode, ...]

    def numbers(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """A and x over (B, T, C, H, W_f)."""
        random, k = np.random.default_rng(0), (STATES,) if self.vectors else ()
        return self.transition(random, (*shape, *k, *k)), self.input(random, (*shape, *k))


def ours(name: str, operation: Callable[..., Any], arithmetic: Arithmetic) -> Mode:
    """An operation of ours on parts that are one array."""
    return Mode(f"ours: {name}", arithmetic, lambda a, x: (operation(a[0], x[0], axis=1),))


def parallel(name: str, arithmetic: Arithmetic, vectors: bool, tolerance: float = FLOAT32) -> Mode:
    """`lax.associative_scan`."""
    return Mode(name, arithmetic, functools.partial(associative, arithmetic, vectors), tolerance)


def published(vectors: bool) -> tuple[Mode, ...]:
    """The published operator: parallel, one step at a time, and with a nonlinearity in the step."""
    step = functools.partial(sequential, LOGARITHMS, vectors)
    return (
        parallel("parallel", LOGARITHMS, vectors),
        Mode("sequential linear", LOGARITHMS, step),
        Mode("sequential nonlinear", LOGARITHMS, functools.partial(step, nonlinear=True), nonlinear=True),
    )


def positive(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """In (0.01, 0.3): no three of them sum to one."""
    return random.uniform(0.01, 0.3, shape).astype(np.float32)


def signed(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The same with signs; none is zero."""
    return positive(random, shape) * random.choice(np.float32([-1, 1]), shape)


PHASE_SPLIT = (
    parallel("parallel, bf16 log-magnitude and phase", phases(jnp.bfloat16), True, BFLOAT16),
    parallel("parallel, fp8 log-magnitude and phase", phases(jnp.float8_e4m3fn), True, FLOAT8),
)
MATRIX = Family(
    "3x3",
    True,
    small_matrix,
    normal,
    (
        ours("goom_matrix_scan", goom_matrix_scan, LOGARITHMS),
        ours("matrix_scan", matrix_scan, linear(jnp.complex64)),
        *published(True),
    ),
)
SCALAR = Family(
    "scalar",
    False,
    transition,
    normal,
    (
        ours("goom_scan", goom_scan, LOGARITHMS),
        ours("linear_scan", linear_scan, linear(jnp.complex64)),
        *published(False),
    ),
)
SIGNED = Family(
    "3x3, signed",
    True,
    signed,
    signed,
    (
        ours("goom_matrix_scan", goom_matrix_scan, LOGARITHMS),
        parallel("parallel", LOGARITHMS, True),
        parallel("parallel, fp32 log-magnitude and sign", signs(jnp.float32), True),
        parallel("parallel, bf16 log-magnitude and sign", signs(jnp.bfloat16), True, BFLOAT16),
    ),
)
POSITIVE = Family(
    "3x3, positive",
    True,
    positive,
    positive,
    (
        ours("matrix_scan float32", matrix_scan, linear(jnp.float32)),
        ours("matrix_scan complex64", matrix_scan, linear(jnp.complex64)),
        parallel("parallel, float32", linear(jnp.float32), True),
        parallel("parallel, complex64", linear(jnp.complex64), True),
        parallel("parallel, float32 logarithms", REAL_LOGARITHMS, True),
        parallel("parallel, complex64 logarithms", LOGARITHMS, True),
    ),
)
EXTRAS: Mapping[str, Family] = MappingProxyType({"scalar": SCALAR, "split_goom": SIGNED, "dtype_compare": POSITIVE})
"""Families that a flag adds. `--phase_split` adds PHASE_SPLIT to MATRIX."""
