"""The cases, the contenders and their operands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cssm_kernels import linear_scan

SCANS = MappingProxyType({"native": None, "xla": "xla", "sequential": "sequential"})
"""Contenders and their `implementation`: our kernel, `lax.associative_scan`, `lax.scan`."""

NATIVE = "native"


@dataclass(frozen=True)
class Case:
    """One linear_scan.

    Attributes:
      shape: of x and h; time on `axis`.
      varying: a has x's shape; otherwise it is constant in time.
      gradient: forward and the gradients of a and x; otherwise forward only.
    """

    shape: tuple[int, ...]
    axis: int
    dtype: str
    varying: bool
    gradient: bool

    @property
    def name(self) -> str:
        """E.g. complex64-64x17408-constant-fwd."""
        size = "x".join(map(str, self.shape))
        return (
            f"{self.dtype}-{size}-{'varying' if self.varying else 'constant'}-{'fwd_bwd' if self.gradient else 'fwd'}"
        )

    @property
    def passes(self) -> int:
        """Times that arrays of x's size must be read or written at least.

        Forward: x and h, and a where it varies. Backward: the cotangent, h and dx, and a and da where a varies.
        """
        return (3 if self.varying else 2) + ((5 if self.varying else 3) if self.gradient else 0)

    @property
    def bytes(self) -> int:
        """Bytes that must be moved at least."""
        return self.passes * math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def a_shape(self) -> tuple[int, ...]:
        """Shape of a."""
        return self.shape if self.varying else tuple(1 if d == self.axis else n for d, n in enumerate(self.shape))


CASES = tuple(
    Case(shape, axis, dtype, varying, gradient)
    for shape, axis, dtype, kinds in (
        ((64, 17408), 0, "complex64", (False, True)),
        ((1024, 17408), 0, "complex64", (False, True)),
        ((1, 4096, 1024), 1, "float32", (True,)),
        ((8, 4096, 512), 1, "float32", (True,)),
    )
    for varying in kinds
    for gradient in (False, True)
)

LONG = Case((50_000, 32), 0, "float32", True, True)
"""For compile time: XLA's grows with the length of an associative scan."""


def operands(case: Case) -> tuple[Any, Any, Any]:
    """a with 0.9 <= |a| < 1, x and a cotangent, the latter two normal."""
    random = np.random.default_rng(0)
    is_complex = np.dtype(case.dtype).kind == "c"

    def normal(shape: tuple[int, ...]) -> np.ndarray:
        parts = random.standard_normal((*shape, 2) if is_complex else shape, np.float32)
        return parts.view(np.complex64)[..., 0] if is_complex else parts

    a = 0.9 + 0.099 * random.random(case.a_shape, np.float32)
    if is_complex:
        a = a * np.exp(2j * np.pi * random.random(case.a_shape, np.float32))
    x, g = normal(case.shape), normal(case.shape)
    return jnp.asarray(a, case.dtype), jnp.asarray(x, case.dtype), jnp.asarray(g, case.dtype)


def scan(case: Case, implementation: str | None) -> Callable[..., Any]:
    """(a, x, g) -> h, or (h, da, dx) for the cotangent g."""

    def forward(a: Any, x: Any) -> Any:
        return linear_scan(a, x, axis=case.axis, implementation=implementation)

    if not case.gradient:
        return lambda a, x, g: forward(a, x)

    def forward_and_backward(a: Any, x: Any, g: Any) -> Any:
        h, vjp = jax.vjp(forward, a, x)
        return h, *vjp(g)

    return forward_and_backward


def copy_operands(case: Case) -> tuple[Any]:
    """A float32 array that `copy` reads and writes in as many bytes as the case must move."""
    return (jnp.ones(case.bytes // (2 * np.dtype(np.float32).itemsize), jnp.float32),)


def copy(x: Any) -> Any:
    """One read and one write of every element. A negation: jit would hand an unchanged input straight back."""
    return -x


def triad(a: Any, x: Any, g: Any) -> Any:
    """Two reads and one write, the traffic of a forward scan with varying a."""
    return jax.tree.map(jnp.add, a, x)


def reference(case: Case, a: Any, x: Any, g: Any) -> tuple[np.ndarray, ...]:
    """h, or (h, da, dx), in double precision. The backward recurrence runs on a, not its conjugate: JAX's convention."""
    double = np.complex128 if np.dtype(case.dtype).kind == "c" else np.float64
    a, x, g = (np.moveaxis(np.asarray(v, double), case.axis, 0) for v in (a, x, g))
    steps = x.shape[0]
    full_a = np.broadcast_to(a, x.shape)
    h = np.empty_like(x)
    state = np.zeros_like(x[0])
    for t in range(steps):
        h[t] = state = full_a[t] * state + x[t]
    if not case.gradient:
        return (np.moveaxis(h, 0, case.axis),)
    dx = np.empty_like(x)
    adjoint = np.zeros_like(x[0])
    for t in reversed(range(steps)):
        dx[t] = adjoint = g[t] + (full_a[t + 1] * adjoint if t + 1 < steps else 0)
    da = np.concatenate([np.zeros_like(h[:1]), h[:-1]]) * dx
    if not case.varying:
        da = da.sum(0, keepdims=True)
    return tuple(np.moveaxis(v, 0, case.axis) for v in (h, da, dx))


CHECKED_CHANNELS = 48
TOLERANCE = 2e-5


def error(case: Case, got: Any, arguments: tuple[Any, Any, Any]) -> float:
    """Largest error of a result relative to the largest reference value, over evenly spread channels (last axis)."""
    chosen = np.linspace(0, case.shape[-1] - 1, CHECKED_CHANNELS, dtype=int)
    expected = reference(case, *(np.asarray(v)[..., chosen] for v in arguments))
    parts = got if isinstance(got, tuple) else (got,)
    errors = [
        np.abs(np.asarray(part)[..., chosen] - truth).max() / np.abs(truth).max()
        for part, truth in zip(parts, expected, strict=True)
    ]
    return float(max(errors)) if np.isfinite(errors).all() else math.inf
