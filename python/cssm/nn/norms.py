"""The wrapper's norms, all (x - mean) / sqrt(var + eps) * scale + bias with `scale`, `bias` of size C.

    norm             mean and var of (B, T, H, W, C) over        of a lower rank over
    layer            C                                           C
    batch            B, T, H, W (running averages in evaluation) all but C
    instance         T, H, W                                     all but B and C
    temporal_layer   T, C                                        C
    global_layer     T, H, W, C                                  C
    global_instance  T, H, W                                     C

eps is 1e-6, 1e-5 for batch (momentum 0.99); variances are E[x^2] - E[x]^2 in float32. Between the stem and a last-frame
readout no norm sees five axes, so there global_layer is layer. Over (B, C), instance leaves only its bias.
Source: CSSM model specification 4.3.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

_VIDEO_AXES = {"temporal_layer": (1, -1), "global_layer": (1, 2, 3, -1), "global_instance": (1, 2, 3)}
NORM_TYPES = ("layer", "batch", "instance", *_VIDEO_AXES)


def normalise(
    x: Array,
    norm_type: str,
    *,
    training: bool,
    name: str,
    dtype: DTypeLike | None = None,
    param_dtype: DTypeLike = jnp.float32,
) -> Array:
    """Applies the norm, (B, ..., C) to the same shape, with parameters under `name` in the calling compact module.

    Raises:
      ValueError: `norm_type` is unknown.
    """
    if norm_type not in NORM_TYPES:
        raise ValueError(f"norm_type: got {norm_type!r}, expected one of {', '.join(NORM_TYPES)}")
    dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
    if norm_type == "batch":
        return nn.BatchNorm(use_running_average=not training, **dtypes, name=name)(x)
    if norm_type == "instance":
        return nn.GroupNorm(num_groups=None, group_size=1, **dtypes, name=name)(x)
    axes = _VIDEO_AXES.get(norm_type, (-1,)) if x.ndim == 5 else (-1,)
    return nn.LayerNorm(reduction_axes=axes, **dtypes, name=name)(x)


def rms_normalise(x: Array, scale: Array) -> Array:
    """x / sqrt(mean_C(x^2) + 1e-6) * scale, over the last axis."""
    return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6) * scale
