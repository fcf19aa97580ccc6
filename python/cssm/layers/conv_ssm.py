"""A gated recurrence behind a convolution of each frame: the control whose state does not act on space."""

from __future__ import annotations

import flax.linen as nn
import jax
from jax import Array

from cssm.layers.base import DeltaMixer, State
from cssm.nn.depthwise import DepthwiseConv
from cssm.nn.spectra import spectral_dtype
from cssm_kernels import gated_scan


class ConvSSMCSSM(DeltaMixer):
    """S_t = sigmoid(A_logit) S_{t-1} + B(x_t) conv(x_t);  o = D(C(x_t) S_t);  returns o - x.

    conv is a depthwise convolution in space, zero-padded; B, C and D are Dense(C). Registry key `conv_ssm`; source: CSSM
    model specification 2.8.

    Fields, besides those of `DeltaMixer`:
      implementation: of `cssm_kernels.gated_scan` and the convolution.

    Parameters: spatial_conv/{kernel (K, K, 1, C), bias (C)}; A_logit (C); B_proj, C_proj, out_proj (C, C).
    """

    kernel_size: int = 3
    implementation: str | None = None

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the projection of the others."""
        x = self.checked(x)
        with jax.named_scope("input"):
            conv = DepthwiseConv(
                self.kernel_size,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                implementation=self.implementation,
                name="spatial_conv",
            )
            u = conv(x).astype(spectral_dtype(x))
            decay = jax.nn.sigmoid(self.parameter("A_logit", nn.initializers.constant(2.0), (self.channels,)))
            b, c = (self.dense(self.channels, name)(x).astype(u.dtype) for name in ("B_proj", "C_proj"))
        with jax.named_scope("recurrence"):
            y, after = gated_scan(
                decay.astype(u.dtype).reshape(1, 1, 1, 1, -1),
                b,
                u,
                c,
                None if state is None else state["S"],
                axis=1,
                return_final=True,
                implementation=self.implementation,
            )
        if last_only:
            y, x = y[:, -1:], x[:, -1:]
        with jax.named_scope("output"):
            return self.project(y.astype(x.dtype), x), {"S": after}
