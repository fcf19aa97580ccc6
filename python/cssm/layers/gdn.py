"""Gated DeltaNet on spectra: a small matrix memory in every frequency bin, decayed, corrected and read at each frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import State
from cssm.layers.delta_rule import DeltaRuleMixer
from cssm.layers.gdn_attention import ATTENTION_MODES, attended
from cssm.nn.cross_frequency import CrossFrequencyConv
from cssm.nn.delta import spectral_delta_rule
from cssm.nn.depthwise import DepthwiseConv
from cssm.nn.frames import of_frames
from cssm.nn.gates import bounded_decay, spatial_mean
from cssm.nn.norms import LayerNorm, rms_normalise
from cssm.nn.pointwise import PointwiseConv
from cssm.nn.position import apply_rotary, sinusoidal_table
from cssm.nn.products import Dense
from cssm.nn.spectra import spectral_dtype, to_space, to_spectrum
from cssm.nn.split_dense import SplitDense
from cssm.nn.temporal import CausalConv

OUTPUT_NORMS = ("rms", "layer", "none")
OUTPUT_GATES: dict[str, Callable[[Array], Array]] = {"silu": jax.nn.silu, "sigmoid": jax.nn.sigmoid}


class GatedDeltaNetCSSM(DeltaRuleMixer):
    r"""Per bin and head, S_t = alpha_t kappa_h S_{t-1} (I - beta_t conj(k_t) k_t^T) + beta_t v_t k_t^H,  o_t = S_t q_t;
    returns D(norm(irfft2(o)) act(gate)).

    q, k, v are thirds of D(rotated x), each after a causal convolution in time and silu; k and v times spatial gates; then
    rfft2 of each, in heads of d channels, q and k over their norms in the frame, and k over its norm in the bin. The decay
    alpha in (0.1, 0.99) and the rate beta in (0, 1) come of each frame's context ctx+. Registry keys `gdn`, `gdn_d2`,
    `gdn_d3`, `gdn_int`, `gdn_int_elem`, `gdn_int_qk`; source: CSSM model specification 2.5.

    Fields, besides those of `DeltaRuleMixer`:
      delta_key_dim: d, a divisor of C.
      no_spectral_clamp: leave the kernels' spectra unbounded.
      gate_type: channel (one gate a head), dense, factored (the sum of a gate of rows and one of columns) or scalar.
      short_conv_size: of the convolutions in time; 0 for none, and no silu.
      use_input_gates: the gates of k and v.
      qkv_conv_size, qkv_conv_separable: side of the convolution that projects to q, k and v; separable is one a channel
        and then D.
      output_norm, output_gate_act: rms, layer or none; silu or sigmoid.
      use_spectral_l2_norm: q and k over their norms in the frame.
      cross_freq_conv_size: taps, odd, of a convolution of o across the columns of the spectrum; 0 for none.
      int_attention_mode, attn_kernel_size, int_attn_dim: `cssm.layers.gdn_attention`.
      rope_mode: also "learned_t": a learned `temporal_embed` in place of ctx+'s table and, as published, the rotation of
        "spatiotemporal". It has a row for every frame of the video it was made for; a step past them gives NaN.
      position_independent_gates: gates from the spatial mean of x, with no position in it.
      static_image_fast_path, num_timesteps: x may be an image (B, H, W, C), seen for so many frames, of which the last is
        returned; for short_conv_size=0, use_input_gates=False and neither rotation nor attention, which need every frame.
      ssl_proj_dim: P of a projection (B, T, P) of the spatial mean, sown as `cssm_temporal_proj`; 0 for none.
      gate_proj_bias_init: initial bias of the output gate.
      textbook_delta: the delta rule erases and writes under k^H, as for real keys. As published, what is erased lies
        under k^T, so a value is not replaced by writing under its key again.
      use_log: not read, as use_goom.

    Parameters, n = C / d: kernel (n, K, K); qkv_dw/{kernel (s, s, 1, C), bias}; qkv_proj (C, 3C); short_conv_q, _k,
    _v/{kernel (s, 1, C), bias}; temporal_embed (T, C); B_k, B_v; gate_proj (C, C); alpha, beta; cross_freq_re,
    _im/{kernel (s, 1, 1), bias}; rms_scale (C) or output_layernorm; those of the attention; ssl_proj_in (C, 4P),
    ssl_proj_out (4P, P); output_proj (C, C). Gates are (C, n) or (C, HF), `_h` (C, H) and `_w` (C, F), (C, 1); of B_k and
    B_v (1, 1, C, C), and W for F. `alpha_t` and `beta_t` are sown.
    """

    delta_key_dim: int = 2
    no_spectral_clamp: bool = False
    use_log: bool = True
    short_conv_size: int = 4
    use_input_gates: bool = True
    qkv_conv_size: int = 1
    qkv_conv_separable: bool = True
    output_norm: str = "rms"
    output_gate_act: str = "silu"
    use_spectral_l2_norm: bool = True
    cross_freq_conv_size: int = 0
    int_attention_mode: str = "none"
    attn_kernel_size: int = 7
    int_attn_dim: int = 16
    position_independent_gates: bool = False
    static_image_fast_path: bool = False
    num_timesteps: int = 0
    ssl_proj_dim: int = 0
    gate_proj_bias_init: float = 0.0
    textbook_delta: bool = False

    keeps_much: ClassVar[bool] = True

    @property
    def key_dim(self) -> int:
        return self.delta_key_dim

    def check_fields(self) -> None:
        super().check_fields()
        self.check_choice("output_norm", OUTPUT_NORMS)
        self.check_choice("output_gate_act", OUTPUT_GATES)
        self.check_choice("int_attention_mode", ATTENTION_MODES)
        for field, least in (
            ("short_conv_size", 0),
            ("cross_freq_conv_size", 0),
            ("num_timesteps", 0),
            ("ssl_proj_dim", 0),
            ("qkv_conv_size", 1),
            ("attn_kernel_size", 1),
            ("int_attn_dim", 1),
        ):
            if getattr(self, field) < least:
                raise ValueError(f"{field}: got {getattr(self, field)}, expected a number >= {least}")
        if self.cross_freq_conv_size and self.cross_freq_conv_size % 2 == 0:
            raise ValueError(f"cross_freq_conv_size: got {self.cross_freq_conv_size}, expected 0 or an odd number")

    def __call__(self, x: Array, injected_qkv_spatial: Array | None = None, *, last_only: bool = False) -> Array:
        """(B, T, H, W, C) to the same or, with `last_only`, to the last frame; with the fast path also (B, H, W, C)."""
        if x.ndim != 4 or not self.static_image_fast_path:
            return super().__call__(x, injected_qkv_spatial, last_only=last_only)
        self._check_fast_path()
        return self.advance(x[:, None], None, last_only=True, repeats=self.num_timesteps)[0][:, 0]

    def _whole(self, x: Array, *, last_only: bool, **options: Any) -> Array:
        if self.rope_mode == "learned_t" and not self.is_initializing():
            self._check_length(self.checked(x).shape[1])
        return super()._whole(x, last_only=last_only, **options)

    @nn.compact
    def advance(
        self, x: Array, state: State | None, *, last_only: bool = False, repeats: int = 1
    ) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the inverse transforms of the others.

        With `repeats` x is one frame that stands for so many, and only gates are computed for each.
        """
        x = self.checked(x)
        before: State = state or dict.fromkeys(("q", "k", "v", "S", "s")) | {"t": 0}
        frames = x.shape[1] * repeats
        after: dict[str, Any] = {"t": jnp.asarray(before["t"] + frames)}
        height, width = x.shape[2:4]
        dtype = spectral_dtype(x)
        last_only = last_only and self.int_attention_mode == "none" and not self.ssl_proj_dim
        kappa = self.head_kernels(height, width, dtype, clamp=not self.no_spectral_clamp)
        with jax.named_scope("input"):
            turned = self.rotated(x, before["t"])
            q, k, v = self._projected(turned)
            q, after["q"] = self._short_conv("q", q, before["q"])
            k, after["k"] = self._short_conv("k", k, before["k"])
            v, after["v"] = self._short_conv("v", v, before["v"])
        with jax.named_scope("gates"):
            ctx = self._context(x, turned, before["t"], frames)
            q = self._opened(q, None)
            k, v = (self._opened(z, self._input_gate(f"B_{name}", ctx, turned)) for name, z in (("k", k), ("v", v)))
            output_gate = self._output_gate(turned[:, -1:] if last_only else turned)
            alpha, beta = (self.gate(ctx, name, *kappa.shape).astype(dtype) for name in ("alpha", "beta"))
            alpha, beta = bounded_decay(alpha), jax.nn.sigmoid(beta)
            self.sow("intermediates", "alpha_t", jnp.moveaxis(alpha, -1, 2))
            self.sow("intermediates", "beta_t", jnp.moveaxis(beta, -1, 2))
        with jax.named_scope("recurrence"):
            q, k, v = (to_spectrum(z, self.implementation) for z in (q, k, v))
            y, after["S"] = spectral_delta_rule(
                alpha * kappa,
                beta,
                k,
                v,
                q,
                before["S"],
                key_dim=self.key_dim,
                frame_norms=self.use_spectral_l2_norm,
                textbook=self.textbook_delta,
                implementation=self.implementation,
            )
        if last_only:
            y = y[:, -1:]
        with jax.named_scope("output"):
            if self.cross_freq_conv_size:
                y = jax.lax.complex(self._cross_frequency("re")(y.real), self._cross_frequency("im")(y.imag))
            y = self._normalised(to_space(y, width, self.implementation)).astype(x.dtype)
            y, after["s"] = self._attended(y, before["s"])
            y = self._let_out(y, output_gate)
            if self.ssl_proj_dim:
                self._sow_projection(y)
            return self.dense(self.channels, "output_proj")(y), after

    def rotated(self, x: Array, first: int | Array = 0) -> Array:
        if self.rope_mode == "learned_t":
            return apply_rotary(x, "spatiotemporal", self.rope_base, first=first).astype(x.dtype)
        return super().rotated(x, first)

    def _check_fast_path(self) -> None:
        needed = {
            "short_conv_size": 0,
            "use_input_gates": False,
            "rope_mode": "none",
            "position_independent_gates": False,
            "int_attention_mode": "none",
            "ssl_proj_dim": 0,
        }
        for field, value in needed.items():
            if getattr(self, field) != value:
                raise ValueError(
                    f"{field}: got {getattr(self, field)!r}, expected {value!r} with static_image_fast_path"
                )
        if self.num_timesteps < 1:
            got = self.num_timesteps
            raise ValueError(f"num_timesteps: got {got}, expected a positive integer with static_image_fast_path")

    def _projected(self, x: Array) -> tuple[Array, ...]:
        """q, k, v"""
        size, dtypes = self.qkv_conv_size, self._dtypes()
        if size > 1 and not self.qkv_conv_separable:
            q_k_v = nn.Conv(3 * self.channels, (size, size), **dtypes, name="qkv_proj")(x)
            return tuple(jnp.split(q_k_v, 3, axis=-1))
        if size > 1:
            x = DepthwiseConv(size, **dtypes, implementation=self.implementation, name="qkv_dw")(x)
        return SplitDense(self.channels, 3, **dtypes, implementation=self.implementation, name="qkv_proj")(x)

    def _short_conv(self, name: str, x: Array, before: Array | None) -> tuple[Array, Array | None]:
        if not self.short_conv_size:
            return x, None
        fields = {**self._dtypes(), "implementation": self.implementation}
        return CausalConv(self.short_conv_size, **fields, name=f"short_conv_{name}")(x, before)

    def _context(self, x: Array, turned: Array, first: int | Array, frames: int) -> Array:
        """(B, frames, C), from which the gates come."""
        embedding = self._temporal_embedding(frames, first) if self.rope_mode == "learned_t" else None
        if self.position_independent_gates:
            return spatial_mean(x)
        if embedding is None:
            embedding = sinusoidal_table(frames, self.channels, first=first)
        ctx = spatial_mean(turned)
        return ctx + embedding.astype(ctx.dtype)

    def _temporal_embedding(self, frames: int, first: int | Array) -> Array:
        """The rows of the parameter that the frames from `first` on have."""
        if self.is_initializing():
            return self.parameter("temporal_embed", nn.initializers.zeros, (frames, self.channels))
        self._check_length(frames)
        table: Array = self.get_variable("params", "temporal_embed")
        return jnp.take(table, first + jnp.arange(frames), axis=0, mode="fill")

    def _check_length(self, frames: int) -> None:
        table: Array = self.get_variable("params", "temporal_embed")
        if frames > len(table):
            raise ValueError(f"x: got {frames} frames, expected at most those of temporal_embed, {table.shape}")

    def _input_gate(self, name: str, ctx: Array, x: Array) -> Array | None:
        """Of every pixel, unbounded: (B, T, H, W, C), or (B, T, H, W, 1)."""
        if not self.use_input_gates:
            return None
        if self.gate_type == "channel":
            return PointwiseConv(self.channels, **self._dtypes(), implementation=self.implementation, name=name)(x)
        return self.gate(ctx, name, x.shape[2], x.shape[3], heads=1)

    def _opened(self, z: Array, gate: Array | None) -> Array:
        """silu(z) sigmoid(gate), of z after its short convolution; gradients keep the arguments and nothing between."""

        @jax.checkpoint
        @of_frames
        def opened(z: Array, gate: Array | None) -> Array:
            z = jax.nn.silu(z) if self.short_conv_size else z
            return z if gate is None else z * jax.nn.sigmoid(gate)

        return opened(z, gate)

    def _output_gate(self, x: Array) -> Array:
        """Unbounded."""
        bias = nn.initializers.constant(self.gate_proj_bias_init)
        how: dict[str, Any] = {**self._dtypes(), "implementation": self.implementation}
        return Dense(self.channels, bias_init=bias, **how, name="gate_proj")(x)

    def _cross_frequency(self, part: str) -> CrossFrequencyConv:
        return CrossFrequencyConv(self.cross_freq_conv_size, param_dtype=self.param_dtype, name=f"cross_freq_{part}")

    def _normalised(self, y: Array) -> Array:
        if self.output_norm == "rms":
            return rms_normalise(y, self.parameter("rms_scale", nn.initializers.ones, (self.channels,)))
        if self.output_norm == "layer":
            return LayerNorm(implementation=self.implementation, **self._dtypes(), name="output_layernorm")(y)
        return y

    def _let_out(self, y: Array, gate: Array) -> Array:
        """y act(gate), of which gradients keep no more either."""
        return jax.checkpoint(of_frames(lambda y, gate: y * OUTPUT_GATES[self.output_gate_act](gate)))(y, gate)

    def _attended(self, y: Array, before: Array | None) -> tuple[Array, Array | None]:
        if self.int_attention_mode == "none":
            return y, None
        return attended(
            self,
            y,
            before,
            mode=self.int_attention_mode,
            kernel_size=self.attn_kernel_size,
            dim=self.int_attn_dim,
            rho=self.spectral_rho,
            implementation=self.implementation,
        )

    def _sow_projection(self, y: Array) -> None:
        pooled = spatial_mean(y.astype(spectral_dtype(y)))
        dtypes: dict[str, Any] = {"dtype": pooled.dtype, "param_dtype": self.param_dtype}
        hidden = jax.nn.gelu(Dense(4 * self.ssl_proj_dim, **dtypes, name="ssl_proj_in")(pooled))
        projection = Dense(self.ssl_proj_dim, **dtypes, name="ssl_proj_out")(hidden)
        self.sow("intermediates", "cssm_temporal_proj", projection)

    def _dtypes(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "param_dtype": self.param_dtype}
