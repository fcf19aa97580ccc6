"""depthwise_conv against XLA's grouped convolution."""

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
from cssm_kernels import depthwise_conv

CHECKED_CHANNELS = 4
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class DepthwiseCase:
    """One depthwise_conv with a bias.

    Attributes:
      shape: of x, (B, T, H, W, C).
      window: (K_t, K_h, K_w).
      gradient: forward and the gradients of x, the kernel and the bias; otherwise forward only.
    """

    shape: tuple[int, int, int, int, int]
    window: Triple
    gradient: bool

    @property
    def name(self) -> str:
        """E.g. depthwise-4x32x32x32x32-1x3x3-fwd."""
        sizes = ("x".join(map(str, of)) for of in (self.shape, self.window))
        return f"depthwise-{'-'.join(sizes)}-{'fwd_bwd' if self.gradient else 'fwd'}"

    @property
    def bytes(self) -> int:
        """x and y; with the gradient also g and dx, and x and g once more."""
        return (6 if self.gradient else 2) * 4 * math.prod(self.shape)

    @property
    def contenders(self) -> Mapping[str, str | None]:
        """Names, and the `implementation` of each."""
        return MappingProxyType({"native": None, "xla": "xla"})

    @property
    def triad(self) -> bool:
        """No."""
        return False

    def operands(self) -> tuple[Any, ...]:
        """x, kernel, bias and a cotangent, normal."""
        random = np.random.default_rng(0)
        channels = self.shape[-1]
        shapes = (self.shape, (*self.window, channels), (channels,), self.shape)
        return tuple(jnp.asarray(random.standard_normal(shape, np.float32)) for shape in shapes)

    def function(self, contender: str) -> Callable[..., Any]:
        """(x, kernel, bias, g) -> y, or (y, dx, dkernel, dbias)."""

        def forward(x: Any, kernel: Any, bias: Any) -> Any:
            return depthwise_conv(x, kernel, bias, implementation=self.contenders[contender])

        def backward(x: Any, kernel: Any, bias: Any, g: Any) -> Any:
            y, pull_back = jax.vjp(forward, x, kernel, bias)
            return y, *pull_back(g)

        return backward if self.gradient else lambda x, kernel, bias, g: forward(x, kernel, bias)

    def error(self, got: Any, operands: tuple[Any, ...]) -> float:
        """Largest relative error, over evenly spread channels."""
        chosen = np.linspace(0, self.shape[-1] - 1, CHECKED_CHANNELS, dtype=int)
        got = got if self.gradient else (got,)
        expected = self._expected(*(np.asarray(v, np.float64)[..., chosen] for v in operands))
        return worst_error([np.asarray(v)[..., chosen] for v in got], expected[: len(got)])

    def _expected(self, x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, g: np.ndarray) -> list[np.ndarray]:
        offset = (self.window[0] - 1, (self.window[1] - 1) // 2, (self.window[2] - 1) // 2)
        around = [(0, 0), *((o, k - 1 - o) for o, k in zip(offset, self.window)), (0, 0)]
        x_padded = np.pad(x, around)
        y, dx_padded, dkernel = np.zeros_like(x) + bias, np.zeros_like(x_padded), np.zeros_like(kernel)
        for tap in np.ndindex(*self.window):
            met = (slice(None), *(slice(i, i + n) for i, n in zip(tap, x.shape[1:4])))
            y += kernel[tap] * x_padded[met]
            dx_padded[met] += kernel[tap] * g
            dkernel[tap] = (x_padded[met] * g).sum((0, 1, 2, 3))
        inner = tuple(slice(before, n - after) for (before, after), n in zip(around, x_padded.shape))
        return [y, dx_padded[inner], dkernel, g.sum((0, 1, 2, 3))]


SHAPE = (4, 32, 32, 32, 32)
WINDOWS: tuple[Triple, ...] = ((1, 3, 3), (4, 1, 1), (1, 11, 11))
CASES = tuple(DepthwiseCase(SHAPE, window, gradient) for window in WINDOWS for gradient in (False, True))
