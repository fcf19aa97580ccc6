"""The gated recurrence without a transform: every pixel on its own, the control for mixing over space."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import DeltaMixer, State
from cssm.nn.gates import dense_gate, gate_factors, spatial_mean, step_size
from cssm.nn.norms import rms_normalise
from cssm.nn.short_conv import short_convolutions
from cssm.nn.spectra import spectral_dtype
from cssm_kernels import gated_scan

GATE_TYPES = ("dense", "factored")
GATE_ACTIVATIONS = ("softplus", "sigmoid")


class NoFFTCSSM(DeltaMixer):
    r"""S_t = sigmoid(A_logit)^Delta_t S_{t-1} + Delta_t B_t m_t;  o = D(RMS(C_t S_t) silu(z));  returns o - x.

    (m, z) are halves of D(x); m then passes a depthwise convolution in space, one in time and silu. Delta >= 0, B and C are
    gates (H, W) of each frame, shared by the channels, from the spatial mean of m. Registry key `no_fft`; source: CSSM
    model specification 2.13.

    Fields, besides those of `DeltaMixer`:
      gate_activation: of Delta; softplus, or sigmoid (twice the sigmoid).
      gate_type: dense, or factored (the sum of a gate of rows and one of columns).
      short_conv_size, short_conv_spatial_size: of the convolutions in time and space; 0 for none.
      implementation: of `cssm_kernels.gated_scan` and the convolutions.
      kernel_size, gate_rank, concat_xy, position_independent_gates: not read, as published.

    Parameters: in_proj (C, 2C); short_conv_spatial/{kernel (s, s, 1, C), bias}; short_conv_temporal/{kernel (s, 1, C),
    bias}; A_logit (C); delta_proj, B_proj, C_proj (C, HW), or of each `_h` (C, H) and `_w` (C, W); rms_scale (C);
    out_proj (C, C).
    """

    kernel_size: int = 1
    gate_activation: str = "softplus"
    gate_type: str = "dense"
    short_conv_size: int = 4
    short_conv_spatial_size: int = 0
    implementation: str | None = None
    gate_rank: int = 0
    concat_xy: bool = True
    position_independent_gates: bool = False

    def check_fields(self) -> None:
        super().check_fields()
        self.check_choice("gate_type", GATE_TYPES)
        self.check_choice("gate_activation", GATE_ACTIVATIONS)
        for field in ("short_conv_size", "short_conv_spatial_size"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field}: got {getattr(self, field)}, expected a number >= 0")

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the projections of the others."""
        x = self.checked(x)
        before = state or {"S": None, "m": None}
        after: dict[str, Any] = {}
        with jax.named_scope("input"):
            m, z = jnp.split(self.dense(2 * self.channels, "in_proj")(x), 2, axis=-1)
            m, after["m"] = short_convolutions(
                m,
                before["m"],
                spatial_size=self.short_conv_spatial_size,
                temporal_size=self.short_conv_size,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                implementation=self.implementation,
            )
        m = m.astype(spectral_dtype(m))
        log_decay = jax.nn.log_sigmoid(self.parameter("A_logit", nn.initializers.constant(2.0), (self.channels,)))
        with jax.named_scope("gates"):
            ctx = spatial_mean(m)
            delta, b, c = (self._gate(ctx, f"{name}_proj", m).astype(m.dtype) for name in ("delta", "B", "C"))
            delta = step_size(delta, self.gate_activation)
        with jax.named_scope("recurrence"):
            y, after["S"] = gated_scan(
                jnp.exp(delta * log_decay.astype(m.dtype)),
                delta * b,
                m,
                c,
                before["S"],
                axis=1,
                return_final=True,
                implementation=self.implementation,
            )
        if last_only:
            y, z, x = y[:, -1:], z[:, -1:], x[:, -1:]
        with jax.named_scope("output"):
            scale = self.parameter("rms_scale", nn.initializers.ones, (self.channels,))
            return self.project((rms_normalise(y, scale) * jax.nn.silu(z)).astype(z.dtype), x), after

    def _gate(self, ctx: Array, name: str, m: Array) -> Array:
        """(B, T, H, W, 1)"""
        if self.gate_type == "dense":
            return dense_gate(self.dense, ctx, name, *m.shape[2:4])
        row, column = gate_factors(self.dense, ctx, name, *m.shape[2:4])
        return row + column
