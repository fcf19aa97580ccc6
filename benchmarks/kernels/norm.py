"""layer_norm against XLA's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.case import worst_error
from cssm_kernels import layer_norm

SLOPE, CUBE, EPS = np.sqrt(2 / np.pi), 0.044715, 1e-6


@dataclass(frozen=True)
class NormCase:
    """One layer_norm with scale and bias.

    Attributes:
      rows, channels: of x.
      activation: None or "gelu".
      gradient: forward and the gradients of x, scale and bias; otherwise forward only.
    """

    rows: int
    channels: int
    activation: str | None
    gradient: bool

    @property
    def name(self) -> str:
        """E.g. norm-131072x32-gelu-fwd."""
        return f"norm-{self.rows}x{self.channels}-{self.activation}-{'fwd_bwd' if self.gradient else 'fwd'}"

    @property
    def bytes(self) -> int:
        """x and y; with the gradient also g and dx, and x once more."""
        return (5 if self.gradient else 2) * 4 * self.rows * self.channels

    @property
    def contenders(self) -> Mapping[str, str | None]:
        """Names, and the `implementation` of each."""
        return MappingProxyType({"native": None, "xla": "xla"})

    @property
    def triad(self) -> bool:
        """No."""
        return False

    def operands(self) -> tuple[Any, ...]:
        """x, scale, bias and a cotangent, normal."""
        random = np.random.default_rng(0)
        shapes = ((self.rows, self.channels), (self.channels,), (self.channels,), (self.rows, self.channels))
        return tuple(jnp.asarray(random.standard_normal(shape, np.float32)) for shape in shapes)

    def function(self, contender: str) -> Callable[..., Any]:
        """(x, scale, bias, g) -> y, or (y, dx, dscale, dbias)."""

        def forward(x: Any, scale: Any, bias: Any) -> Any:
            return layer_norm(
                x, scale, bias, eps=EPS, activation=self.activation, implementation=self.contenders[contender]
            )

        def backward(x: Any, scale: Any, bias: Any, g: Any) -> Any:
            y, pull_back = jax.vjp(forward, x, scale, bias)
            return y, *pull_back(g)

        return backward if self.gradient else lambda x, scale, bias, g: forward(x, scale, bias)

    def error(self, got: Any, operands: tuple[Any, ...]) -> float:
        """Largest relative error."""
        got = got if self.gradient else (got,)
        x, scale, bias, g = (np.asarray(v, np.float64) for v in operands)
        z, slope = x, np.ones_like(x)
        if self.activation == "gelu":
            inner = np.tanh(SLOPE * (x + CUBE * x**3))
            z = 0.5 * x * (1 + inner)
            slope = 0.5 * (1 + inner) + 0.5 * x * (1 - inner**2) * SLOPE * (1 + 3 * CUBE * x**2)
        factor = 1 / np.sqrt(z.var(-1, keepdims=True) + EPS)
        normal, gs = (z - z.mean(-1, keepdims=True)) * factor, g * scale
        dx = factor * (gs - gs.mean(-1, keepdims=True) - normal * (gs * normal).mean(-1, keepdims=True)) * slope
        expected = [normal * scale + bias, dx, (g * normal).sum(0), g.sum(0)]
        return worst_error([np.asarray(v) for v in got], expected[: len(got)])


CASES = tuple(
    NormCase(rows, channels, activation, gradient)
    for rows, channels in ((131_072, 32), (25_088, 384))
    for activation in (None, "gelu")
    for gradient in (False, True)
)
