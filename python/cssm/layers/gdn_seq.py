"""Gated DeltaNet over the pixels of a video as one sequence: the control for recurrence in the spectrum."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax
from jax import Array

from cssm.layers.base import DeltaMixer, State
from cssm.nn.delta import unit_keys
from cssm.nn.gates import bounded_decay
from cssm.nn.norms import rms_normalise
from cssm.nn.spectra import spectral_dtype
from cssm.nn.split_dense import SplitDense
from cssm.nn.temporal import CausalConv
from cssm.nn.tokens import FLATTEN_MODES, to_tokens
from cssm_kernels import delta_scan


class GDNSeqCSSM(DeltaMixer):
    r"""S_l = alpha S_{l-1} (I - beta k_l k_l^T) + beta v_l k_l^T,  o = D(RMS(S_l q_l) silu(D x_l));  returns o - x.

    l runs over the pixels of all frames, row by row. q, k, v are thirds of D(x), each after a causal convolution along l and
    silu, in n = C / d heads, k over its norm. alpha in (0.1, 0.99) and beta in (0, 1) are one number a head and sequence,
    from the mean over all of its pixels: the layer is not causal. Registry key `gdn_seq`; source: CSSM model
    specification 2.6.

    Fields, besides those of `DeltaMixer`:
      delta_key_dim: d, a divisor of C.
      short_conv_size: of the convolutions along l; 0 for none, and no silu.
      flatten_mode: temporal_spatial, or per_frame, in which every frame is a sequence of its own.
      implementation: of the operations of `cssm_kernels`.
      kernel_size: not read, as published.

    Parameters: qkv_proj (C, 3C); short_conv_q, _k, _v/{kernel (s, 1, C), bias}; gate_proj (C, C); alpha, beta (C, n);
    rms_scale (C); output_proj (C, C).
    """

    delta_key_dim: int = 2
    short_conv_size: int = 4
    flatten_mode: str = "temporal_spatial"
    implementation: str | None = None

    not_streaming: ClassVar[str] = "its gates come of the mean over all tokens"

    def check_fields(self) -> None:
        super().check_fields()
        self.check_choice("flatten_mode", FLATTEN_MODES)
        if self.delta_key_dim < 1 or self.channels % self.delta_key_dim:
            got, expected = self.delta_key_dim, f"a divisor of channels={self.channels}"
            raise ValueError(f"delta_key_dim: got {got}, expected {expected}")
        if self.short_conv_size < 0:
            raise ValueError(f"short_conv_size: got {self.short_conv_size}, expected a number >= 0")

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, {}) of the whole video x; the last frame alone saves the projections of the others."""
        x = self.checked(x)
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        tokens = to_tokens(x, self.flatten_mode)
        with jax.named_scope("input"):
            fields = {**dtypes, "implementation": self.implementation}
            parts = dict(zip("qkv", SplitDense(self.channels, 3, **fields, name="qkv_proj")(tokens)))
            if self.short_conv_size:
                for name, part in parts.items():
                    conv = CausalConv(self.short_conv_size, **fields, name=f"short_conv_{name}")
                    parts[name] = jax.nn.silu(conv(part)[0])
            dtype, heads = spectral_dtype(x), self.channels // self.delta_key_dim
            q, k, v = (part.astype(dtype).reshape(*part.shape[:2], heads, -1) for part in parts.values())
        shown = x[:, -1:] if last_only else x
        with jax.named_scope("gates"):
            output_gate = jax.nn.silu(self.dense(self.channels, "gate_proj")(shown))
            ctx = tokens.mean(1, keepdims=True)
            alpha, beta = (self.dense(heads, name)(ctx).astype(dtype) for name in ("alpha", "beta"))
        with jax.named_scope("recurrence"):
            o = delta_scan(
                bounded_decay(alpha),
                jax.nn.sigmoid(beta),
                unit_keys(k),
                v,
                q,
                axis=1,
                implementation=self.implementation,
            ).reshape(x.shape)
        if last_only:
            o = o[:, -1:]
        with jax.named_scope("output"):
            scale = self.parameter("rms_scale", nn.initializers.ones, (self.channels,))
            o = rms_normalise(o, scale).astype(x.dtype) * output_gate
            return self.project(o, shown, "output_proj"), {}
