"""The model that the flags of the trainer describe."""

from __future__ import annotations

import argparse
from typing import Any

import flax.linen as nn
import jax

from cssm.models import BaselineViT, CSSMViT, SimpleCSSM

# Flags that are fields of the same name.
_SIMPLE = (
    "embed_dim depth kernel_size block_size frame_readout norm_type stem_norm body_norm pos_embed act_type pool_type "
    "seq_len max_seq_len position_independent_gates shared_kernel additive_kv spectral_clip q_temporal q_spatial "
    "asymmetric_qk no_feedback no_spectral_clip use_layernorm no_k_state transformer_readout gate_type n_register_tokens "
    "learned_init stem_layers stem_norm_order use_complex32 use_complex16 use_ssd scan_mode ssd_chunk_size readout_norm "
    "num_heads mlp_ratio drop_path_rate short_conv_size short_conv_spatial_size output_norm output_gate_act qkv_conv_size "
    "cross_freq_conv_size delta_key_dim no_spectral_clamp inter_mlp_ratio attn_kernel_size int_attn_dim state_dim "
    "expand_factor flatten_mode s4nd_d_state s4nd_bidirectional convs5_state_dim convs5_num_groups implementation"
).split()
_VIT = (
    "embed_dim depth patch_size stem_mode stem_stride mlp_ratio drop_path_rate gate_activation rope_mode block_size "
    "gate_rank kernel_size use_dwconv output_act layer_scale_init readout_state pre_output_act pooling_mode readout_act "
    "implementation"
).split()
_BASELINE = "embed_dim depth patch_size num_heads mlp_ratio drop_path_rate temporal_attn_every".split()


def model_of(args: argparse.Namespace, num_classes: int) -> nn.Module:
    """The model, not yet initialised."""
    values = vars(args)

    def fields(names: list[str]) -> dict[str, Any]:
        return {"num_classes": num_classes} | {name: values[name] for name in names}

    if args.arch == "baseline":
        return BaselineViT(
            **fields(_BASELINE), use_temporal_attn=not args.no_temporal_attn, use_pos_embed=not args.no_pos_embed
        )
    if args.arch == "vit":
        return CSSMViT(
            **fields(_VIT),
            cssm_type=args.cssm,
            dense_mixing=args.mixing == "dense",
            concat_xy=not args.no_concat_xy,
            use_pos_embed=not args.no_pos_embed,
        )
    return SimpleCSSM(
        **fields(_SIMPLE),
        cssm_type=args.cssm,
        stem_mode="pathtracker" if args.stem_mode == "pathtracker" else "default",
        use_goom=not args.no_goom,
        use_log=not args.no_log,
        use_input_gates=not args.no_input_gates,
        use_spectral_l2_norm=not args.no_spectral_l2_norm,
        qkv_conv_separable=not args.qkv_conv_full,
    )


def started(params: Any, kernel_std: float, gate_bias: float) -> Any:
    """Fresh parameters, changed as the flags ask: spatial kernels scaled to a standard deviation, gates opened.

    A spatial kernel is a leaf (C, K, K); a gate is a module whose name ends in `gate`.
    """

    def change(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        names = [str(part.key) for part in path]
        if kernel_std and leaf.ndim == 3 and leaf.shape[1] == leaf.shape[2] > 1:
            return leaf * (kernel_std / leaf.std())
        if gate_bias and names[-1] == "bias" and any(name.endswith("gate") for name in names[:-1]):
            return leaf + gate_bias
        return leaf

    return jax.tree_util.tree_map_with_path(change, params)
