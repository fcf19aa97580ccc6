"""The wrapper's norms, all (x - mean) / sqrt(var + eps) * scale + bias with `scale`, `bias` of size C.

    norm             mean and var of (B, T, H, W, C) over        of a lower rank over
    layer            C                                           C
    batch            B, T, H, W (running averages in evaluation) all but C
    instance         T, H, W                                     all but B and C
    temporal_layer   T, C                                        C
    global_layer     T, H, W, C                                  C
    global_instance  T, H, W                                     C

eps is 1e-6, 1e-5 for batch (momentum 0.99); variances are E[x^2] - E[x]^2 in float32, of `layer` on
CPU E[(x - E[x])^2]. Between the stem and a last-frame readout no norm sees five axes, so there global_layer is layer. Over
(B, C), instance leaves only its bias.
Source: CSSM model specification 4.3.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import canonicalize_dtype
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.activations import activation
from cssm.nn.frames import of_frames
from cssm.nn.implementations import native_or_xla
from cssm_kernels import layer_norm

_VIDEO_AXES = {"temporal_layer": (1, -1), "global_layer": (1, 2, 3, -1), "global_instance": (1, 2, 3)}
NORM_TYPES = ("layer", "batch", "instance", *_VIDEO_AXES)


class LayerNorm(nn.Module):
    """`flax.linen.LayerNorm()` over the last axis, of an activation if one is named, by `cssm_kernels.layer_norm`.

    Parameters scale (C) of ones and bias (C) of zeros. Values are Flax's up to rounding: on CPU the variance is taken of
    differences from the mean, and an activation of 16-bit numbers is not rounded before the norm.

    Fields:
      act_type: of the input, before the norm; None for none.
      implementation: that of a layer or model.
      dtype: of the result; None for what the input and the parameters promote to.
    """

    act_type: str | None = None
    implementation: str | None = None
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(..., C) to the same shape."""
        features = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, features, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, features, self.param_dtype)
        dtype = canonicalize_dtype(x, scale, bias, dtype=self.dtype)
        x = x.astype(jnp.promote_types(x.dtype, dtype))  # nothing is rounded before the norm
        wide = jnp.promote_types(x.dtype, jnp.float32)
        y = layer_norm(
            x,
            scale.astype(wide),
            bias.astype(wide),
            activation=self.act_type,
            implementation=native_or_xla(self.implementation),
        )
        return y.astype(dtype)


def normalise(
    x: Array,
    norm_type: str,
    *,
    training: bool,
    name: str,
    act_type: str | None = None,
    implementation: str | None = None,
    dtype: DTypeLike | None = None,
    param_dtype: DTypeLike = jnp.float32,
) -> Array:
    """Applies the norm, (B, ..., C) to the same shape, with parameters under `name` in the calling compact module.

    With `act_type` it is the norm of that activation of x.

    Raises:
      ValueError: `norm_type` or `act_type` is unknown.
    """
    if norm_type not in NORM_TYPES:
        raise ValueError(f"norm_type: got {norm_type!r}, expected one of {', '.join(NORM_TYPES)}")
    act = None if act_type is None else activation(act_type)
    dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
    axes = _VIDEO_AXES.get(norm_type, (-1,)) if x.ndim == 5 else (-1,)
    if norm_type not in ("batch", "instance") and axes == (-1,):
        return LayerNorm(act_type, implementation, **dtypes, name=name)(x)
    x = x if act is None else act(x)
    if norm_type == "batch":
        return nn.BatchNorm(use_running_average=not training, **dtypes, name=name)(x)
    if norm_type == "instance":
        return nn.GroupNorm(num_groups=None, group_size=1, **dtypes, name=name)(x)
    return nn.LayerNorm(reduction_axes=axes, **dtypes, name=name)(x)


@of_frames
def rms_normalise(x: Array, scale: Array) -> Array:
    """x (B, T, ..., C) / sqrt(mean_C(x^2) + 1e-6) * scale, over the last axis."""
    return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6) * scale
