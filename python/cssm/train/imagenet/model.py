"""The model that the flags of the ImageNet trainer describe."""

from __future__ import annotations

import argparse
from typing import Any

import jax.numpy as jnp

from cssm.models import CSSMSHViT
from cssm.models.shvit import SIZES

STAGES = 4
# Fields of the model with the name of their flag, and those with another.
_SAME = (
    "cssm_type",
    "num_timesteps",
    "short_conv_spatial_size",
    "short_conv_size",
    "delta_key_dim",
    "output_norm",
    "gate_activation",
    "spectral_rho",
    "rope_mode",
    "block_norm",
    "dense_mixing",
    "block_size",
    "mixing_rank",
    "output_act",
    "gate_proj_bias_init",
    "head_pool",
    "timestep_gate",
    "static_image_fast_path",
    "drop_path_rate",
    "implementation",
)
_OTHER = {"gate_type_cssm": "gate_type", "dwconv": "use_dwconv", "pos_conv": "use_pos_conv"}


def model_of(args: argparse.Namespace, num_classes: int) -> CSSMSHViT:
    """The model, not yet initialised.

    Raises:
      ValueError: an unknown size, or sizes of stages that do not fit together.
    """
    if args.model_size not in SIZES:
        raise ValueError(f"--model_size: got {args.model_size!r}, expected one of {', '.join(SIZES)}")
    sized = SIZES[args.model_size]
    embed_dims, depths = (
        _sizes("embed_dims", args.embed_dims, 1) or sized[0],
        _sizes("depths", args.depths, 0) or sized[1],
    )
    values: dict[str, Any] = {name: getattr(args, name) for name in _SAME}
    values |= {field: getattr(args, name) for name, field in _OTHER.items()}
    if args.model == "conv_shvit":
        values["use_cssm_stages"] = (False,) * len(depths)
    return CSSMSHViT(
        num_classes=num_classes,
        embed_dims=embed_dims,
        depths=depths,
        kernel_sizes=(args.kernel_size,) * len(depths),
        use_input_gates=not args.no_input_gates,
        ssl_proj_dim=args.ssl_proj_dim if args.ssl_temporal_loss else 0,
        linear_probe=args.ssl_temporal_loss,
        dtype=jnp.bfloat16 if args.precision == "bf16" else None,
        **values,
    )


def _sizes(name: str, text: str, least: int) -> tuple[int, ...]:
    parts = text.split(",") if text else []
    if any(not part.isdecimal() or int(part) < least for part in parts) or len(parts) not in (0, STAGES):
        raise ValueError(f"--{name}: got {text!r}, expected {STAGES} integers from {least} on, such as 1,2,2,1")
    return tuple(map(int, parts))
