"""S4ND: one-dimensional state spaces along the rows and the columns of every frame."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import DeltaMixer, State, StochasticMixer
from cssm.nn.products import ProjectedFilter
from cssm.nn.s4 import AxisKernel, DiagonalKernel, LowRankKernel
from cssm.nn.spectra import spectral_dtype, to_space, to_spectrum


class S4NDCSSM(DeltaMixer, StochasticMixer):
    r"""y = k_H * k_W * x + k'_H * k'_W * x + D x;  o = Dense(y);  returns o - x.  Nothing passes from frame to frame.

    * convolves circularly, along H with k_H and along W with k_W, the impulse responses of state spaces with eigenvalues
    lambda (`cssm.nn.s4`); k'[l] = k[L - 1 - l]. Being circular, the whole is one product of two-dimensional spectra.
    Registry key `s4nd`; source: CSSM model specification 2.9.

    Fields, besides those of `DeltaMixer`:
      d_state: N; there are max(N // 2, 1) states, each standing for a pair.
      bidirectional: with the second term.
      dropout: rate of the dropout of y, which needs the rng `dropout`.
      deterministic: as `StochasticMixer`'s; None for dropout even in evaluation, as published.
      implementation: of `cssm_kernels.projected_filter`, or of the transforms where there is dropout: "cpu" or "xla".
      kernel_size: not read, as published.

    Parameters: kH, kW/{as `DiagonalKernel`}; D (C); out_proj (C, C).
    """

    d_state: int = 64
    bidirectional: bool = True
    dropout: float = 0.0
    implementation: str | None = None

    axis_kernel: ClassVar[type[AxisKernel]] = DiagonalKernel

    def check_fields(self) -> None:
        super().check_fields()
        if self.d_state < 1:
            raise ValueError(f"d_state: got {self.d_state}, expected a positive integer")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: got {self.dropout}, expected a rate in [0, 1)")

    @nn.compact
    def advance(
        self, x: Array, state: State | None, *, last_only: bool = False, deterministic: bool | None = None
    ) -> tuple[Array, State]:
        """(y, {}) of the frames x."""
        x = self.checked(x)[:, -1:] if last_only else self.checked(x)
        with jax.named_scope("kernels"):
            # Without the barrier XLA sums over the frames anew for each of the parameters that the gain comes of.
            gain = jax.lax.optimization_barrier(self._gain(x.shape[2], x.shape[3], spectral_dtype(x)))
        keeps_all = not self.dropout or bool(self.deterministic if deterministic is None else deterministic)
        if keeps_all:
            how: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
            how |= {"minus_x": not self.residual, "implementation": self.implementation}
            return ProjectedFilter(self.channels, **how, name="out_proj")(x, gain), {}
        with jax.named_scope("convolution"):
            y = to_space(gain * to_spectrum(x, self.implementation), x.shape[3], self.implementation).astype(x.dtype)
        y = nn.Dropout(self.dropout)(y, deterministic=False)
        with jax.named_scope("output"):
            return self.project(y, x), {}

    def _gain(self, height: int, width: int, dtype: jnp.dtype) -> Array:
        """The spectrum (H, F, C) of all three terms."""
        states = max(self.d_state // 2, 1)
        columns, rows = (
            self.axis_kernel(self.channels, states, dtype, self.param_dtype, name=name)(length).T
            for name, length in (("kH", height), ("kW", width))
        )
        gain = self.parameter("D", nn.initializers.ones, (self.channels,)).astype(dtype)
        for k_h, k_w in ((columns, rows), (columns[::-1], rows[::-1]))[: 1 + self.bidirectional]:
            gain = gain + jnp.fft.fft(k_h, axis=0)[:, None] * jnp.fft.rfft(k_w, axis=0)
        return gain


class S4NDFullCSSM(S4NDCSSM):
    """`S4NDCSSM` with a low-rank term in the state spaces: A = diag(lambda) - P Q^T.

    Registry key `s4nd_full`; source: CSSM model specification 2.10. The published code solves a dense system for each
    channel; here an inverse costs O(h), by the formula of Sherman and Morrison (1950).

    Parameters: kH, kW/{as `LowRankKernel`}; D (C); out_proj (C, C).
    """

    axis_kernel = LowRankKernel
