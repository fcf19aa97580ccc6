"""The gated CSSM: a selective spectral recurrence, whose step size, input and output gates depend on the input."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import State
from cssm.layers.gated_mixing import GatedMixing
from cssm.nn.gates import dense_gate, gate_factors, spatial_mean, step_size
from cssm.nn.short_conv import short_convolutions
from cssm.nn.spectra import spectral_dtype, to_space, to_spectrum
from cssm_kernels.coupled_scan import coupled_scan

GATE_TYPES = ("dense", "factored")


class GatedCSSM(GatedMixing):
    r"""h_t = exp(-Delta_t) kappa(kernel) h_{t-1} + (Delta_t + 1e-8) B_t m_hat_t;  returns D(irfft2(C_t h_t) silu(z)).

    (m, z) are halves of D(rotated x); m then passes a depthwise convolution in space, one in time and silu, and m_hat is
    its rfft2. Delta >= 0, B and C are gates (H, F) of each frame, shared by the channels, from the spatial mean of m.
    Registry key `gated`; source: CSSM model specification 2.2. The published code runs the recurrence on logarithms, which
    differs by the floor of 1e-7 it puts under magnitudes. With `dense_mixing` the layer is another: see
    `cssm.layers.gated_mixing`.

    Fields, besides those of `GatedMixing`:
      gate_type: dense, or factored (product of a gate of rows and one of columns).
      short_conv_size, short_conv_spatial_size: of the convolutions in time and space; 0 for none.
      gate_rank, concat_xy: not read, as published; nor is position_independent_gates but where channels mix.

    Parameters: in_proj (C, 2C); short_conv_spatial/{kernel (s, s, 1, C), bias}; short_conv_temporal/{kernel (s, 1, C),
    bias}; kernel (C, K, K); delta_proj, B_proj, C_proj (C, HF), or of each `_h` (C, H) and `_w` (C, F); out_proj (C, C).
    """

    kernel_size: int = 15
    gate_type: str = "dense"
    short_conv_size: int = 4
    short_conv_spatial_size: int = 3
    gate_rank: int = 0
    concat_xy: bool = True

    encodes_positions: ClassVar[bool] = True
    keeps_much: ClassVar[bool] = True

    def check_fields(self) -> None:
        super().check_fields()
        self.check_choice("gate_type", GATE_TYPES)
        for field in ("short_conv_size", "short_conv_spatial_size"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field}: got {getattr(self, field)}, expected a number >= 0")

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the inverse transforms of the others."""
        x = self.checked(x)
        if self.dense_mixing:
            return self.mixed(x, state, last_only)
        before = state or {"t": 0, "h": None, "m": None}
        after: dict[str, Any] = {"t": jnp.asarray(before["t"] + x.shape[1])}
        with jax.named_scope("input"):
            m, z = jnp.split(self.dense(2 * self.channels, "in_proj")(self.rotated(x, before["t"])), 2, axis=-1)
            m, after["m"] = short_convolutions(
                m,
                before["m"],
                spatial_size=self.short_conv_spatial_size,
                temporal_size=self.short_conv_size,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                implementation=self.implementation,
            )
        kappa = self.kappa(m.shape[2], m.shape[3], spectral_dtype(m))
        with jax.named_scope("gates"):
            ctx = spatial_mean(m)
            delta, b, c = (self._gate(ctx, f"{name}_proj", m).astype(kappa.real.dtype) for name in ("delta", "B", "C"))
            delta = step_size(delta, self.gate_activation)
        with jax.named_scope("recurrence"):
            m_hat = to_spectrum(m, self.implementation)
            h = before["h"]
            y, after["h"] = coupled_scan(
                jnp.exp(-delta)[..., None, None],
                kappa[..., None, None],
                m_hat[..., None],
                ((delta + 1e-8) * b)[..., None],
                c[..., None],
                None if h is None else h[..., None],
                axis=1,
                return_final=True,
                implementation=self.implementation,
            )
            y, after["h"] = y[..., 0], after["h"][..., 0]
        if last_only:
            y, z = y[:, -1:], z[:, -1:]
        with jax.named_scope("output"):
            y = to_space(y, m.shape[3], self.implementation).astype(z.dtype)
            return self.dense(self.channels, "out_proj")(y * jax.nn.silu(z)), after

    def _gate(self, ctx: Array, name: str, m: Array) -> Array:
        """(B, T, H, F, 1)"""
        height, columns = m.shape[2], m.shape[3] // 2 + 1
        if self.gate_type == "dense":
            return dense_gate(self.dense, ctx, name, height, columns)
        row, column = gate_factors(self.dense, ctx, name, height, columns)
        return row * column
