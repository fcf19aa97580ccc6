"""linear_scan against `lax.associative_scan` and `lax.scan`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.case import worst_error
from cssm_kernels import linear_scan


@dataclass(frozen=True)
class LinearCase:
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

    @property
    def contenders(self) -> Mapping[str, str | None]:
        """Names, and the `implementation` of each."""
        return CONTENDERS

    @property
    def triad(self) -> bool:
        """Whether the least traffic is that of a sum of two arrays."""
        return self.varying and not self.gradient

    def operands(self) -> tuple[Any, Any, Any]:
        """a with 0.9 <= |a| < 1, x and a cotangent, the latter two normal."""
        random = np.random.default_rng(0)
        is_complex = np.dtype(self.dtype).kind == "c"

        def normal(shape: tuple[int, ...]) -> np.ndarray:
            parts = random.standard_normal((*shape, 2) if is_complex else shape, np.float32)
            return parts.view(np.complex64)[..., 0] if is_complex else parts

        a = 0.9 + 0.099 * random.random(self.a_shape, np.float32)
        if is_complex:
            a = a * np.exp(2j * np.pi * random.random(self.a_shape, np.float32))
        x, g = normal(self.shape), normal(self.shape)
        return jnp.asarray(a, self.dtype), jnp.asarray(x, self.dtype), jnp.asarray(g, self.dtype)

    def function(self, contender: str) -> Callable[..., Any]:
        """(a, x, g) -> h, or (h, da, dx) for the cotangent g."""

        def forward(a: Any, x: Any) -> Any:
            return linear_scan(a, x, axis=self.axis, implementation=CONTENDERS[contender])

        if not self.gradient:
            return lambda a, x, g: forward(a, x)

        def forward_and_backward(a: Any, x: Any, g: Any) -> Any:
            h, vjp = jax.vjp(forward, a, x)
            return h, *vjp(g)

        return forward_and_backward

    def error(self, got: Any, operands: tuple[Any, Any, Any]) -> float:
        """Largest relative error, over evenly spread channels (last axis)."""
        chosen = np.linspace(0, self.shape[-1] - 1, CHECKED_CHANNELS, dtype=int)
        expected = reference(self, *(np.asarray(v)[..., chosen] for v in operands))
        parts = got if isinstance(got, tuple) else (got,)
        return worst_error([np.asarray(part)[..., chosen] for part in parts], expected)


CONTENDERS = MappingProxyType({"native": None, "xla": "xla", "sequential": "sequential"})
CHECKED_CHANNELS = 48


CASES = tuple(
    LinearCase(shape, axis, dtype, varying, gradient)
    for shape, axis, dtype, kinds in (
        ((64, 17408), 0, "complex64", (False, True)),
        ((1024, 17408), 0, "complex64", (False, True)),
        ((1, 4096, 1024), 1, "float32", (True,)),
        ((8, 4096, 512), 1, "float32", (True,)),
    )
    for varying in kinds
    for gradient in (False, True)
)

GPU_CASES = tuple(
    LinearCase(shape, axis, dtype, varying, gradient)
    for shape, axis, dtype, kinds in (
        ((1024, 65_536), 0, "complex64", (False, True)),
        ((1, 65_536, 64), 1, "float32", (True,)),
    )
    for varying in kinds
    for gradient in (False, True)
)
"""More, for a GPU: too large for its cache, and so few lanes that time is cut into chunks."""

LONG = LinearCase((50_000, 32), 0, "float32", True, True)
"""For compile time: XLA's grows with the length of an associative scan."""


def reference(case: LinearCase, a: Any, x: Any, g: Any) -> tuple[np.ndarray, ...]:
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
