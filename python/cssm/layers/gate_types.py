"""The ways in which a gate can depend on where it acts.

A layer has rates (decays and couplings of its recurrence, which act in the spectral domain) and gates of its inputs and
outputs. Each kind can be, as a sigmoid of z:

    frequency      z = D(ctx), a value for each bin (H, F)          pointwise   z = conv(x), 1 x 1, in space
    factored       z[h, f] = D_h(ctx)[h] + D_w(ctx)[f]              spatial     z = conv(x), 5 x 5, in space
    low_rank       z = D_up(D_down(ctx)), of rank 8, for each bin   mean        z = conv(x), 5 x 5; the mean of sigmoid z
    scalar         z = D(ctx), one value                            spectral    z = conv(|rfft2(x)|), 5 x 5 over the bins
    channel        z = D(ctx), a value for each channel

with ctx the context of each frame (B, T, C). Convolutions are full, C -> C, zero-padded. Source: CSSM model specification
2.16.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import Mixer
from cssm.nn.gates import dense_gate, gate_factors
from cssm.nn.pointwise import PointwiseConv
from cssm.nn.spectra import spectral_dtype, to_spectrum

RANK = 8
WINDOW = (5, 5)

GATE_TYPES: dict[str, tuple[str, str]] = {  # of rates; of inputs and outputs
    "dense": ("frequency", "frequency"),
    "scalar": ("scalar", "scalar"),
    "channel": ("channel", "pointwise"),
    "conv": ("mean", "spatial"),
    "dense_decay": ("frequency", "pointwise"),
    "dense_io": ("channel", "frequency"),
    "factored": ("factored", "factored"),
    "spectral_conv": ("spectral", "spectral"),
    "low_rank": ("low_rank", "low_rank"),
}


class TypedGates(NamedTuple):
    """The gates of frames x (B, T, H, W, C), of one of `GATE_TYPES`; to be used within `layer`'s compact method.

    Parameters of a gate: `name`, or `name`_h and `name`_w, or `name`_down and `name`_up.

    Fields:
      rates: how many channels the rates have; None for those of the layer.
    """

    layer: Mixer
    gate_type: str
    x: Array
    ctx: Array
    implementation: str | None
    rates: int | None = None

    @property
    def spatial_io(self) -> bool:
        """Whether gates of inputs and outputs act in space, not on the spectrum."""
        return GATE_TYPES[self.gate_type][1] in ("pointwise", "spatial")

    def rate(self, name: str) -> Array:
        """In (0, 1); broadcasts to (B, T, H, F, C), or that with `rates` for C."""
        return self._gate(GATE_TYPES[self.gate_type][0], name, self.rates or self.layer.channels)

    def decay(self, name: str) -> Array:
        """b(z) = 0.1 + 0.89 sigmoid(z); broadcasts as `rate`."""
        return 0.1 + 0.89 * self.rate(name)

    def io(self, name: str) -> Array:
        """In (0, 1); broadcasts to (B, T, H, F, C), or is (B, T, H, W, C) with `spatial_io`."""
        return self._gate(GATE_TYPES[self.gate_type][1], name, self.layer.channels)

    def _gate(self, kind: str, name: str, channels: int) -> Array:
        gate = jax.nn.sigmoid(self._logits(kind, name, channels).astype(spectral_dtype(self.x)))
        return gate.mean((2, 3), keepdims=True) if kind == "mean" else gate

    def _logits(self, kind: str, name: str, channels: int) -> Array:
        dense = self.layer.dense
        height, columns = self.x.shape[2], self.x.shape[3] // 2 + 1
        if kind == "frequency":
            return dense_gate(dense, self.ctx, name, height, columns)
        if kind == "factored":
            row, column = gate_factors(dense, self.ctx, name, height, columns)
            return row + column
        if kind == "low_rank":
            return dense_gate(dense, dense(RANK, f"{name}_down")(self.ctx), f"{name}_up", height, columns)
        if kind in ("scalar", "channel"):
            return dense(1 if kind == "scalar" else channels, name)(self.ctx)[:, :, None, None]
        dtypes: dict[str, Any] = {"dtype": self.layer.dtype, "param_dtype": self.layer.param_dtype}
        if kind == "pointwise":
            return PointwiseConv(channels, **dtypes, implementation=self.implementation, name=name)(self.x)
        seen = jnp.abs(to_spectrum(self.x, self.implementation)) if kind == "spectral" else self.x
        return nn.Conv(channels, WINDOW, **dtypes, name=name)(seen)
