"""What the layers with a delta rule in every frequency bin have in common."""

from __future__ import annotations

import warnings
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from cssm.layers.base import Mixer
from cssm.nn.gates import dense_gate, gate_factors
from cssm.nn.kernels import embed_kernel, spectral_squash


class DeltaRuleMixer(Mixer):
    """A mixing layer whose C channels are n = C / d heads of d, each with a recurrence of its own in every bin (H, F).

    Fields, besides those of `Mixer`:
      spectral_rho: bound on the kernels' spectra, in (0, 1].
      gate_type: how gates depend on position; a subclass lists its choices.
      implementation: of the recurrence, in `cssm_kernels`.
      learned_init, use_complex32, use_complex16, scan_mode, ssd_chunk_size: not read, with a warning where they ask for
        something; there is one way to scan, with states in complex64.
      use_goom: not read: the published logarithms differ by the floor of 1e-7 they put under magnitudes.
    """

    spectral_rho: float = 0.999
    gate_type: str = "channel"
    implementation: str | None = None
    use_goom: bool = True
    learned_init: bool = False
    use_complex32: bool = False
    use_complex16: bool = False
    scan_mode: str = "associative"
    ssd_chunk_size: int = 8

    encodes_positions: ClassVar[bool] = True
    gate_types: ClassVar[tuple[str, ...]] = ("channel", "dense", "factored", "scalar")
    _unread: ClassVar[tuple[str, ...]] = (
        "learned_init",
        "use_complex32",
        "use_complex16",
        "scan_mode",
        "ssd_chunk_size",
    )

    @property
    def key_dim(self) -> int:
        """d"""
        raise NotImplementedError

    def check_fields(self) -> None:
        super().check_fields()
        if not 0 < self.spectral_rho <= 1:
            raise ValueError(f"spectral_rho: got {self.spectral_rho}, expected a number in (0, 1]")
        self.check_choice("gate_type", self.gate_types)
        if self.key_dim < 1 or self.channels % self.key_dim:
            raise ValueError(f"delta_key_dim: got {self.key_dim}, expected a divisor of channels={self.channels}")
        for field in self._unread:
            if getattr(self, field) != getattr(DeltaRuleMixer, field):
                warnings.warn(f"{field}={getattr(self, field)!r} has no effect in {type(self).__name__}", stacklevel=2)

    def head_kernels(self, height: int, width: int, dtype: DTypeLike, *, clamp: bool = True) -> Array:
        """kappa(kernel), or rfft2(P(kernel)) without `clamp`: (H, F, n), of the parameter `kernel` (n, K, K)."""
        shape = (self.channels // self.key_dim, self.kernel_size, self.kernel_size)
        kernel = self.parameter("kernel", nn.initializers.xavier_normal(), shape).astype(dtype)
        k_hat = jnp.fft.rfft2(embed_kernel(kernel, height, width))
        return jnp.moveaxis(spectral_squash(k_hat, self.spectral_rho) if clamp else k_hat, 0, -1)

    def gate(self, ctx: Array, name: str, rows: int, columns: int, heads: int) -> Array:
        """Unbounded (B, T, rows, columns, 1), or (B, T, 1, 1, heads) and (B, T, 1, 1, 1) of gate_type channel and scalar."""
        if self.gate_type == "dense":
            return dense_gate(self.dense, ctx, name, rows, columns)
        if self.gate_type == "factored":
            row, column = gate_factors(self.dense, ctx, name, rows, columns)
            return row + column
        return self.dense(1 if self.gate_type == "scalar" else heads, name)(ctx)[:, :, None, None]
