"""SimpleCSSM: a stem, a stack of one kind of mixer over a video, and a readout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from jax import Array
from jax.typing import DTypeLike

from cssm.layers.registry import make_mixer
from cssm.nn.activations import activation
from cssm.nn.norms import NORM_TYPES, normalise
from cssm.nn.pooling import POOLS, pool
from cssm.nn.position import ROTARY_MODES, apply_rotary, resample_table, sinusoidal_table
from cssm.nn.products import Dense
from cssm.nn.stems import stem

_CHOICES = {
    "pos_embed": (*ROTARY_MODES, "separate", "sinusoidal", "learnable", "none"),
    "norm_type": NORM_TYPES,
    "stem_norm": (*NORM_TYPES, ""),
    "body_norm": (*NORM_TYPES, ""),
    "frame_readout": ("last", "all"),
    "pool_type": POOLS,
    "readout_norm": ("pre", "post"),
}


class SimpleCSSM(nn.Module):
    """u = encode(stem(x));  u <- u + mixer_i(u), i < depth, norm and act in between;  y = head(pool(act(norm(u)))).

    An image (B, H, W, C_in) is repeated to seq_len frames; a video is (B, T, H, W, C_in). The stem maps every frame to
    (H', W', embed_dim). Source: CSSM model specification 4, whose fields, parameter names and order these are.

    Fields:
      num_classes, embed_dim, depth: outputs, C, number of mixers.
      cssm_type, kernel_size: registry key of the mixer, and its K.
      stem_mode, stem_layers, stem_norm_order: see `cssm.nn.stems`.
      norm_type, stem_norm, body_norm: see `cssm.nn.norms`; the latter two replace norm_type where they are not ''.
      act_type: softplus, gelu or relu.
      pos_embed: a rotary mode, handed to the mixer; or, applied here, separate (rotary y and x, learned t, resampled
        beyond max_seq_len frames), sinusoidal (rotary y and x, fixed t), learnable (a learned y, x map); or none.
      n_register_tokens: learned frames put before the video and removed before the readout.
      inter_mlp_ratio: r > 0 adds an MLP of width floor(r C) after every mixer but the last.
      frame_readout, pool_type, readout_norm: read the last frame or all; pool by mean or max; norm before act ('pre')
        or after it ('post').
      seq_len, max_seq_len: T for image input; rows of the learned temporal table.
      remat: compute what is inside each mixer again for the backward pass, instead of keeping it. XLA's compiler for CPU
        undoes that.
      implementation: of the `cssm_kernels` operations of mixers that use one, and of the norms over C.
      mixer_options: fields of the mixer that have no counterpart here, such as `residual`.
      dtype, param_dtype: of the computation (None: promoted from x and the parameters) and the parameters.
      The remaining fields belong to particular mixers: see `cssm.layers.registry.WRAPPER_FIELDS`.
    """

    num_classes: int = 2
    embed_dim: int = 32
    depth: int = 1
    cssm_type: str = "hgru_bi"
    kernel_size: int = 15
    block_size: int = 1
    frame_readout: str = "last"
    norm_type: str = "layer"
    stem_norm: str = ""
    body_norm: str = ""
    pos_embed: str = "spatiotemporal"
    act_type: str = "softplus"
    pool_type: str = "mean"
    seq_len: int = 8
    max_seq_len: int = 32
    position_independent_gates: bool = False
    use_goom: bool = True
    use_log: bool = True
    shared_kernel: bool = False
    additive_kv: bool = False
    spectral_clip: bool = False
    q_temporal: int = 3
    q_spatial: int = 5
    asymmetric_qk: bool = False
    no_feedback: bool = False
    no_spectral_clip: bool = False
    use_layernorm: bool = False
    no_k_state: bool = False
    transformer_readout: str = "qka"
    gate_type: str = "dense"
    n_register_tokens: int = 0
    learned_init: bool = False
    stem_mode: str = "default"
    stem_layers: int = 2
    stem_norm_order: str = "post"
    use_complex32: bool = False
    use_complex16: bool = False
    use_ssd: bool = False
    scan_mode: str = "associative"
    ssd_chunk_size: int = 8
    readout_norm: str = "pre"
    num_heads: int = 4
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.0
    short_conv_size: int = 4
    short_conv_spatial_size: int = 3
    output_norm: str = "rms"
    use_input_gates: bool = True
    output_gate_act: str = "silu"
    use_spectral_l2_norm: bool = True
    qkv_conv_size: int = 1
    qkv_conv_separable: bool = True
    cross_freq_conv_size: int = 0
    delta_key_dim: int = 2
    no_spectral_clamp: bool = False
    inter_mlp_ratio: float = 0.0
    attn_kernel_size: int = 7
    int_attn_dim: int = 16
    state_dim: int = 16
    expand_factor: int = 2
    flatten_mode: str = "temporal_spatial"
    s4nd_d_state: int = 64
    s4nd_bidirectional: bool = True
    convs5_state_dim: int = 16
    convs5_num_groups: int = 1
    remat: bool = False
    implementation: str | None = None
    mixer_options: Mapping[str, Any] = FrozenDict()
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        object.__setattr__(self, "mixer_options", FrozenDict(self.mixer_options))  # keeps the module hashable
        super().__post_init__()

    repeats_images: ClassVar[bool] = True
    """Whether an image is given as one, and not as a video of equal frames."""

    @nn.compact
    def __call__(
        self,
        x: Array,
        training: bool = True,
        return_spatial: bool = False,
        return_features: bool = False,
        injected_features: Array | None = None,
        injected_qkv_spatial: Array | None = None,
        injected_post_cssm: Array | None = None,
    ) -> Array:
        """Logits (B, num_classes) of an image (B, H, W, C_in) or a video (B, T, H, W, C_in), any floating dtype.

        Args:
          x: the input.
          training: batch norms use and update batch statistics.
          return_spatial: logits of every pixel and frame, (B, T, H', W', num_classes), without pooling or norm_post.
          return_features: what leaves the last mixer, (B, R + T, H', W', C), R register frames first.
          injected_features: replaces what enters the first mixer (sown as `pre_cssm` otherwise), same shape.
          injected_qkv_spatial: handed to every mixer.
          injected_post_cssm: replaces what leaves the last mixer (sown as `post_cssm` otherwise), same shape.

        Raises:
          TypeError: x is not real floating.
          ValueError: x is not 4-D or 5-D, a field is not one of its choices, or an injected array has another shape.
        """
        self._check_fields()
        self._check_input(x)
        with jax.named_scope("stem"):
            x = self._stem(x, training) if x.ndim == 5 else self._repeated(self._stem(x[:, None], training))
        with jax.named_scope("positions"):
            x = self._encode_positions(x)
            x = self._prepend_registers(x)
        x = self._tap("pre_cssm", x, injected_features, "injected_features")
        reads_last = self.frame_readout == "last" and not return_spatial
        # Where the readout alone looks at the frames of the last mixer, it need not make the others.
        unseen = not return_features and injected_post_cssm is None and not self.is_mutable_collection("intermediates")
        x = self._body(x, injected_qkv_spatial, training, last_only=reads_last and unseen)
        x = self._tap("post_cssm", x, injected_post_cssm, "injected_post_cssm")
        if return_features:
            return x
        with jax.named_scope("readout"):
            x = x[:, -1] if reads_last else x[:, self.n_register_tokens :]
            return self._readout(x, training, return_spatial)

    def _check_fields(self) -> None:
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise ValueError(f"{field}: got {getattr(self, field)!r}, expected one of {', '.join(choices)}")
        for field in ("num_classes", "embed_dim", "depth", "seq_len", "max_seq_len"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}: got {getattr(self, field)}, expected a positive integer")
        for field in ("n_register_tokens", "inter_mlp_ratio"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field}: got {getattr(self, field)}, expected a number >= 0")
        # Mixers that rotate refuse odd sizes themselves; the others ignore rotary modes.
        if self.pos_embed in ("separate", "sinusoidal") and self.embed_dim % 2:
            raise ValueError(
                f"embed_dim: got {self.embed_dim}, expected an even number for pos_embed={self.pos_embed!r}"
            )
        if 0 < self.inter_mlp_ratio * self.embed_dim < 1:
            raise ValueError(
                f"inter_mlp_ratio: got {self.inter_mlp_ratio}, expected 0 or at least {1 / self.embed_dim}"
            )

    def _check_input(self, x: Array) -> None:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"x: got dtype {x.dtype}, expected a real floating dtype")
        if x.ndim not in (4, 5):
            raise ValueError(f"x: got shape {x.shape}, expected (B, H, W, C_in) or (B, T, H, W, C_in)")

    def _repeated(self, x: Array) -> Array:
        """An image's frame T times: the stem, which sees frames one by one, sees it once."""
        return jnp.broadcast_to(x, (x.shape[0], self.seq_len, *x.shape[2:]))

    @property
    def _dtypes(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "param_dtype": self.param_dtype}

    def _norm(self, x: Array, norm_type: str, training: bool, name: str, act_type: str | None = None) -> Array:
        how: dict[str, Any] = {"act_type": act_type, "implementation": self.implementation, **self._dtypes}
        return normalise(x, norm_type, training=training, name=name, **how)

    def _stem(self, x: Array, training: bool) -> Array:
        frames = stem(
            x.reshape(-1, *x.shape[2:]),
            self.embed_dim,
            mode=self.stem_mode,
            layers=self.stem_layers,
            norm_order=self.stem_norm_order,
            norm_type=self.stem_norm or self.norm_type,
            act_type=self.act_type,
            implementation=self.implementation,
            training=training,
            **self._dtypes,
        )
        return frames.reshape(*x.shape[:2], *frames.shape[1:])

    def _encode_positions(self, x: Array) -> Array:
        length, height, width, channels = x.shape[1:]
        init = nn.initializers.normal(0.02)
        if self.pos_embed == "learnable":
            return x + self.param("pos_embed", init, (1, 1, height, width, channels), self.param_dtype).astype(x.dtype)
        if self.pos_embed == "separate":
            learned = self.param("temporal_embed", init, (self.max_seq_len, channels), self.param_dtype).astype(
                jnp.float32
            )
            table = resample_table(learned, length)
        elif self.pos_embed == "sinusoidal":
            table = sinusoidal_table(length, channels)
        else:
            return x
        encoded = apply_rotary(x, "spatial_only") + table[:, None, None]
        return encoded if self.dtype is None else encoded.astype(self.dtype)

    def _prepend_registers(self, x: Array) -> Array:
        if self.n_register_tokens == 0:
            return x
        shape = (1, self.n_register_tokens, *x.shape[2:])
        registers = self.param("register_tokens", nn.initializers.normal(0.02), shape, self.param_dtype).astype(x.dtype)
        return jnp.concatenate([jnp.broadcast_to(registers, (x.shape[0], *shape[1:])), x], axis=1)

    def _tap(self, name: str, x: Array, injected: Array | None, argument: str) -> Array:
        """Sows x under `name`, or puts the injected array in its place."""
        if injected is None:
            self.sow("intermediates", name, x)
            return x
        if injected.shape != x.shape:
            raise ValueError(f"{argument}: got shape {injected.shape}, expected {x.shape}")
        return injected

    def _body(self, x: Array, injected_qkv_spatial: Array | None, training: bool, last_only: bool) -> Array:
        act = activation(self.act_type)
        rope_mode = self.pos_embed if self.pos_embed in ROTARY_MODES else "none"
        fields: dict[str, Any] = vars(self)
        for i in range(self.depth):
            mixer = make_mixer(self.cssm_type, fields, channels=self.embed_dim, rope_mode=rope_mode, name=f"cssm_{i}")
            if i == self.depth - 1:
                if last_only:
                    return x[:, -1:] + self._mixed(mixer, x, injected_qkv_spatial, last_only=True)
                return x + self._mixed(mixer, x, injected_qkv_spatial)
            x = x + self._mixed(mixer, x, injected_qkv_spatial)
            x = act(self._norm(x, self.body_norm or self.norm_type, training, f"body_norm_{i}"))
            if self.inter_mlp_ratio > 0:
                how: dict[str, Any] = {**self._dtypes, "implementation": self.implementation}
                hidden = Dense(int(self.embed_dim * self.inter_mlp_ratio), **how, name=f"mlp_{i}_up")(x)
                x = x + Dense(self.embed_dim, **how, name=f"mlp_{i}_down")(act(hidden))
        return x

    def _mixed(self, mixer: nn.Module, x: Array, injected: Array | None, **how: bool) -> Array:
        def run(mixer: nn.Module, x: Array, injected: Array | None) -> Array:
            return mixer(x, injected, **how)

        return nn.remat(run)(mixer, x, injected) if self.remat else run(mixer, x, injected)

    def _readout(self, x: Array, training: bool, return_spatial: bool) -> Array:
        if self.readout_norm == "pre":
            x = activation(self.act_type)(self._norm(x, self.norm_type, training, "norm_pre"))
        else:
            x = self._norm(x, self.norm_type, training, "norm_pre", self.act_type)
        if not return_spatial:
            x = pool(x, self.pool_type, range(1, x.ndim - 1))
            x = self._norm(x, self.norm_type, training, "norm_post")
        return Dense(self.num_classes, **self._dtypes, name="head")(x)
