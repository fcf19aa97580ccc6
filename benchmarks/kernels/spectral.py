"""spectral_scan against the layer as XLA runs it, and the transforms against XLA's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.case import worst_error
from cssm_kernels import irfft2_cl, rfft2_cl, spectral_scan

CHECKED_CHANNELS = 4


def _normal(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.standard_normal(shape, np.float32)


def _half_spectrum(random: np.random.Generator, *shape: int) -> np.ndarray:
    return _normal(random, *shape) + 1j * _normal(random, *shape)


@dataclass(frozen=True)
class SpectralCase:
    """One spectral_scan of x (B, T, H, W, C), k_hat with |k_hat| < 0.999 the same for all of the batch.

    `gradient`: forward and the gradients of x and k_hat; otherwise forward only. Contenders: our fused kernel; our kernels
    one by one; `lax.associative_scan` and `lax.scan` between XLA's transforms of channels-first frames.
    """

    shape: tuple[int, int, int, int, int]
    gradient: bool

    @property
    def name(self) -> str:
        """E.g. spectral-1x64x32x32x32-fwd."""
        return f"spectral-{'x'.join(map(str, self.shape))}-{'fwd_bwd' if self.gradient else 'fwd'}"

    @property
    def bytes(self) -> int:
        """x and y; with the gradient x, y, the cotangent, x again and dx."""
        return (5 if self.gradient else 2) * 4 * int(np.prod(self.shape))

    @property
    def contenders(self) -> Mapping[str, str | None]:
        """Names, and the `implementation` of each."""
        return MappingProxyType({"native": None, "unfused": "unfused", "xla": "xla", "sequential": "sequential"})

    @property
    def triad(self) -> bool:
        """No."""
        return False

    def operands(self) -> tuple[Any, Any, Any]:
        """x, k_hat and a cotangent, normal but for the bound on |k_hat|."""
        random = np.random.default_rng(0)
        *_, height, width, channels = self.shape
        k = _half_spectrum(random, height, width // 2 + 1, channels)
        k = (0.999 * k / (1 + np.abs(k))).astype(np.complex64)
        return jnp.asarray(_normal(random, *self.shape)), jnp.asarray(k), jnp.asarray(_normal(random, *self.shape))

    def function(self, contender: str) -> Callable[..., Any]:
        """(x, k_hat, g) -> y, or (y, dx, dk) for the cotangent g."""

        def forward(x: Any, k: Any) -> Any:
            return spectral_scan(x, k, implementation=self.contenders[contender])

        if not self.gradient:
            return lambda x, k, g: forward(x, k)

        def forward_and_backward(x: Any, k: Any, g: Any) -> Any:
            y, vjp = jax.vjp(forward, x, k)
            return y, *vjp(g)

        return forward_and_backward

    def error(self, got: Any, operands: tuple[Any, Any, Any]) -> float:
        """Largest relative error, over evenly spread channels."""
        chosen = np.linspace(0, self.shape[-1] - 1, CHECKED_CHANNELS, dtype=int)
        expected = self._reference(*(np.asarray(v)[..., chosen] for v in operands))
        parts = got if isinstance(got, tuple) else (got,)
        return worst_error([np.asarray(part)[..., chosen] for part in parts], expected)

    def _reference(self, x: np.ndarray, k: np.ndarray, g: np.ndarray) -> list[np.ndarray]:
        """y, or (y, dx, dk), in double precision; JAX's convention: dk has no conjugate of its own."""
        height, width = x.shape[2:4]
        k = k.astype(np.complex128)

        def run(frames: np.ndarray, k: np.ndarray, order: range) -> np.ndarray:
            spectra = np.fft.rfft2(frames.astype(np.float64), axes=(2, 3))
            state = np.zeros_like(spectra[:, 0])
            for t in order:
                spectra[:, t] = state = k * state + spectra[:, t]
            return spectra

        def inverse(spectra: np.ndarray) -> np.ndarray:
            return np.fft.irfft(np.fft.ifft(spectra, axis=2), n=width, axis=3)

        steps = range(x.shape[1])
        states = run(x, k, steps)
        if not self.gradient:
            return [inverse(states)]
        adjoints = run(g, k.conj(), steps[::-1])
        f = np.arange(width // 2 + 1)
        weights = np.where((f == 0) | (2 * f == width), 1, 2)[:, None] / (height * width)
        dk = weights * (adjoints[:, 1:].conj() * states[:, :-1]).sum((0, 1))
        return [inverse(states), inverse(adjoints), dk]


@dataclass(frozen=True)
class TransformCase:
    """rfft2_cl, or irfft2_cl, of frames (B, T, H, W, C). XLA transforms the axes in place, or moves them to the end."""

    shape: tuple[int, int, int, int, int]
    inverse: bool

    @property
    def name(self) -> str:
        """E.g. rfft2-1x64x32x32x32."""
        return f"{'irfft2' if self.inverse else 'rfft2'}-{'x'.join(map(str, self.shape))}"

    @property
    def bytes(self) -> int:
        """The frames and their half-spectra."""
        *lead, width, channels = self.shape
        return int(np.prod(lead)) * channels * (4 * width + 8 * (width // 2 + 1))

    @property
    def contenders(self) -> Mapping[str, str | None]:
        """Names."""
        return MappingProxyType({"native": None, "xla": None, "xla_moved": None})

    @property
    def triad(self) -> bool:
        """No."""
        return False

    def operands(self) -> tuple[Any]:
        """Frames or half-spectra, normal."""
        random = np.random.default_rng(0)
        *lead, width, channels = self.shape
        if self.inverse:
            return (jnp.asarray(_half_spectrum(random, *lead, width // 2 + 1, channels)),)
        return (jnp.asarray(_normal(random, *self.shape)),)

    def function(self, contender: str) -> Callable[..., Any]:
        """The transform."""
        height, width = self.shape[2:4]
        if self.inverse:
            return {
                "native": lambda z: irfft2_cl(z, width),
                "xla": lambda z: jnp.fft.irfft2(z, s=(height, width), axes=(2, 3)),
                "xla_moved": lambda z: irfft2_cl(z, width, implementation="xla"),
            }[contender]
        return {
            "native": rfft2_cl,
            "xla": lambda x: jnp.fft.rfft2(x, axes=(2, 3)),
            "xla_moved": lambda x: rfft2_cl(x, implementation="xla"),
        }[contender]

    def error(self, got: Any, operands: tuple[Any]) -> float:
        """Largest relative error, over evenly spread channels."""
        chosen = np.linspace(0, self.shape[-1] - 1, CHECKED_CHANNELS, dtype=int)
        (z,) = operands
        z = np.asarray(z)[..., chosen]
        if self.inverse:
            expected = np.fft.irfft(np.fft.ifft(z.astype(np.complex128), axis=2), n=self.shape[3], axis=3)
        else:
            expected = np.fft.rfft2(z.astype(np.float64), axes=(2, 3))
        return worst_error([np.asarray(got)[..., chosen]], [expected])


LAYERS = (
    *((1, steps, 32, 32, 32) for steps in (1, 8, 64, 256, 1024)),
    (4, 8, 128, 128, 32),
    (1, 8, 56, 56, 384),
)
SCANS = tuple(SpectralCase(shape, gradient) for shape in LAYERS for gradient in (False, True))
CASES = (*SCANS, *(TransformCase(shape, inverse) for shape in LAYERS for inverse in (False, True)))
GPU_CASES = tuple(SpectralCase((16, 64, 32, 32, 64), gradient) for gradient in (False, True))
"""More, for a GPU: too large for its cache, with sequences and channels enough to fill it."""
