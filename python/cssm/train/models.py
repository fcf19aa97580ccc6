"""The model that the flags of the trainer describe."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from cssm.models import BaselineViT, CSSMViT, SimpleCSSM


def model_of(args: argparse.Namespace, num_classes: int) -> nn.Module:
    """The model, not yet initialised: flags go to the fields of their names, and some to others."""
    classes: dict[str, type[nn.Module]] = {"simple": SimpleCSSM, "vit": CSSMViT, "baseline": BaselineViT}
    cls = classes[args.arch]
    fields = {field.name for field in dataclasses.fields(cls)}
    values = {name: value for name, value in vars(args).items() if name in fields} | {"num_classes": num_classes}
    values |= {"cssm_type": args.cssm} if args.arch != "baseline" else {}
    if args.arch == "simple":
        values |= {
            "stem_mode": "pathtracker" if args.stem_mode == "pathtracker" else "default",
            "use_goom": not args.no_goom,
            "use_log": not args.no_log,
            "use_input_gates": not args.no_input_gates,
            "use_spectral_l2_norm": not args.no_spectral_l2_norm,
            "qkv_conv_separable": not args.qkv_conv_full,
        }
    else:
        values["use_pos_embed"] = not args.no_pos_embed
    if args.arch == "vit":
        values |= {"dense_mixing": args.mixing == "dense", "concat_xy": not args.no_concat_xy}
        values["stem_norm"] = args.stem_norm or "layer"
    if args.arch == "baseline":
        values["use_temporal_attn"] = not args.no_temporal_attn
    return cls(**values)


def started(params: Any, kernel_std: float, biases: Mapping[str, float]) -> Any:
    """Fresh parameters, changed as the flags ask.

    Args:
      kernel_std: standard deviation that spatial kernels, leaves (C, K, K), are scaled to; 0 to leave them.
      biases: added to the biases of modules, by name: how gates start.

    Raises:
      ValueError: no module of such a name has a bias.
    """
    missing = set(biases)

    def change(path: tuple[Any, ...], leaf: jax.Array) -> jax.Array:
        names = [str(part.key) for part in path]
        if kernel_std and leaf.ndim == 3 and leaf.shape[1] == leaf.shape[2] > 1:
            return leaf * (kernel_std / leaf.std())
        if names[-1] == "bias" and len(names) > 1 and names[-2] in biases:
            missing.discard(names[-2])
            return leaf + biases[names[-2]]
        return leaf

    changed = jax.tree_util.tree_map_with_path(change, params)
    if missing:
        raise ValueError(f"--gate_bias: got {', '.join(sorted(missing))}, expected names of modules that have a bias")
    return changed
