"""Mamba-2 over the pixels of a video as one sequence: the control for recurrence in the spectrum."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import DeltaMixer, State
from cssm.nn.norms import rms_normalise
from cssm.nn.spectra import spectral_dtype
from cssm.nn.split_dense import SplitDense
from cssm.nn.temporal import CausalConv
from cssm.nn.tokens import FLATTEN_MODES, to_tokens
from cssm_kernels import gated_scan

LEAST_EXPONENT = -20.0


class Mamba2SeqCSSM(DeltaMixer):
    r"""h_{l,n} = exp(max(-exp(A_log) Delta_l, -20)) h_{l-1,n} + Delta_l B_{l,n} m_l,  n = 1 ... N states of a channel;
    o = D(RMS(sum_n C_{l,n} h_{l,n}) silu(z_l));  returns o - x.

    l runs over the pixels of all frames, row by row. (m, z) are halves of D(x), I = expand_factor C channels each; m then
    passes a causal convolution along l and silu. Delta = softplus(D(m)), one a channel; B and C = D(m), N shared by the
    channels. Registry key `mamba2_seq`; source: CSSM model specification 2.7.

    Fields, besides those of `DeltaMixer`:
      state_dim: N.
      short_conv_size: of the convolution along l; 0 for none.
      expand_factor: I / C.
      flatten_mode: temporal_spatial, or per_frame, in which every frame is a sequence of its own.
      implementation: of the operations of `cssm_kernels`.
      kernel_size, ssd_chunk_size: not read; the scan needs no chunks.

    Parameters: in_proj (C, 2I); short_conv/{kernel (s, 1, I), bias}; dt_proj (I, I); B_proj, C_proj (I, N); A_log (I);
    rms_scale (I); out_proj (I, C).
    """

    state_dim: int = 16
    short_conv_size: int = 4
    expand_factor: int = 2
    ssd_chunk_size: int = 8
    flatten_mode: str = "temporal_spatial"
    implementation: str | None = None

    def check_fields(self) -> None:
        super().check_fields()
        self.check_choice("flatten_mode", FLATTEN_MODES)
        for field, least in (("state_dim", 1), ("expand_factor", 1), ("short_conv_size", 0)):
            if getattr(self, field) < least:
                raise ValueError(f"{field}: got {getattr(self, field)}, expected a number >= {least}")

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the projections of the others."""
        x = self.checked(x)
        before = state if state and self.flatten_mode == "temporal_spatial" else {"m": None, "h": None}
        after: dict[str, Any] = {"m": None}
        inner, dtype = self.expand_factor * self.channels, spectral_dtype(x)
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        with jax.named_scope("input"):
            fields = {**dtypes, "implementation": self.implementation}
            m, z = SplitDense(inner, 2, **fields, name="in_proj")(x)
            m = to_tokens(m, self.flatten_mode)
            if self.short_conv_size:
                m, after["m"] = CausalConv(self.short_conv_size, **fields, name="short_conv")(m, before["m"])
            m = jax.nn.silu(m)
        with jax.named_scope("gates"):
            delta = jax.nn.softplus(self.dense(inner, "dt_proj")(m).astype(dtype))
            b, c = (self.dense(self.state_dim, f"{name}_proj")(m).astype(dtype)[:, :, None] for name in "BC")
            rate = -jnp.exp(self.parameter("A_log", nn.initializers.normal(0.02), (inner,)).astype(dtype))
        with jax.named_scope("recurrence"):
            y, after["h"] = gated_scan(
                jnp.exp(jnp.maximum(rate * delta, LEAST_EXPONENT))[..., None],
                b,
                (delta * m.astype(dtype))[..., None],
                c,
                before["h"],
                axis=1,
                state_axis=-1,
                return_final=True,
                implementation=self.implementation,
            )
            y = y.reshape(z.shape)
        if last_only:
            y, z, x = y[:, -1:], z[:, -1:], x[:, -1:]
        with jax.named_scope("output"):
            scale = self.parameter("rms_scale", nn.initializers.ones, (inner,))
            return self.project(rms_normalise(y, scale).astype(x.dtype) * jax.nn.silu(z), x), after
