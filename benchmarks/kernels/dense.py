"""dense against XLA's product."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.case import worst_error
from cssm_kernels import dense


@dataclass(frozen=True)
class DenseCase:
    """One dense with a bias.

    Attributes:
      rows, depth, width: x is (rows, depth), w (depth, width).
      gradient: forward and the gradients of x, w and the bias; otherwise forward only.
    """

    rows: int
    depth: int
    width: int
    gradient: bool

    @property
    def name(self) -> str:
        """E.g. dense-131072x32x96-fwd."""
        return f"dense-{self.rows}x{self.depth}x{self.width}-{'fwd_bwd' if self.gradient else 'fwd'}"

    @property
    def bytes(self) -> int:
        """x and y; with the gradient also g and dx, and x once more."""
        return 4 * self.rows * ((3 if self.gradient else 1) * self.depth + (2 if self.gradient else 1) * self.width)

    @property
    def contenders(self) -> Mapping[str, str | None]:
        """Names, and the `implementation` of each."""
        return MappingProxyType({"native": "cpu", "xla": "xla"})

    @property
    def triad(self) -> bool:
        """No."""
        return False

    def operands(self) -> tuple[Any, ...]:
        """x, w, bias and a cotangent, normal."""
        random = np.random.default_rng(0)
        shapes = ((self.rows, self.depth), (self.depth, self.width), (self.width,), (self.rows, self.width))
        return tuple(jnp.asarray(random.standard_normal(shape, np.float32)) for shape in shapes)

    def function(self, contender: str) -> Callable[..., Any]:
        """(x, w, bias, g) -> y, or (y, dx, dw, dbias)."""

        def forward(x: Any, w: Any, bias: Any) -> Any:
            return dense(x, w, bias, implementation=self.contenders[contender])

        def backward(x: Any, w: Any, bias: Any, g: Any) -> Any:
            y, pull_back = jax.vjp(forward, x, w, bias)
            return y, *pull_back(g)

        return backward if self.gradient else lambda x, w, bias, g: forward(x, w, bias)

    def error(self, got: Any, operands: tuple[Any, ...]) -> float:
        """Largest relative error."""
        got = got if self.gradient else (got,)
        x, w, bias, g = (np.asarray(v, np.float64) for v in operands)
        expected = [x @ w + bias, g @ w.T, x.T @ g, g.sum(0)]
        return worst_error([np.asarray(v) for v in got], expected[: len(got)])


CASES = tuple(
    DenseCase(rows, depth, width, gradient)
    for rows, depth, width in ((131_072, 32, 32), (131_072, 32, 96), (131_072, 96, 32), (25_088, 128, 128))
    for gradient in (False, True)
)
