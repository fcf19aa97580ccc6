"""From images to the map the mixers work on, one frame at a time.

    pathtracker   conv1 1x1, norm1: the resolution stays
    default       for i = 1 ... L: conv{i} 3x3 and norm{i}, then a 2x2 max-pool of stride 2: H becomes ceil(H/2)

Each convolution comes with the activation and the norm, ordered conv, act, norm ('post') or norm, act, conv ('pre').
Source: CSSM model specification 4.4.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.activations import activation
from cssm.nn.norms import normalise
from cssm.nn.pointwise import PointwiseConv

STEM_MODES = ("default", "pathtracker")
NORM_ORDERS = ("post", "pre")


def stem(
    frames: Array,
    features: int,
    *,
    mode: str,
    layers: int,
    norm_order: str,
    norm_type: str,
    act_type: str,
    implementation: str | None = None,
    training: bool,
    dtype: DTypeLike | None = None,
    param_dtype: DTypeLike = jnp.float32,
) -> Array:
    """(N, H, W, C_in) -> (N, H', W', features), with parameters in the calling compact module.

    Raises:
      ValueError: `mode` or `norm_order` is unknown, or `layers` is negative.
    """
    if mode not in STEM_MODES:
        raise ValueError(f"stem_mode: got {mode!r}, expected one of {', '.join(STEM_MODES)}")
    if norm_order not in NORM_ORDERS:
        raise ValueError(f"stem_norm_order: got {norm_order!r}, expected one of {', '.join(NORM_ORDERS)}")
    if layers < 0:
        raise ValueError(f"stem_layers: got {layers}, expected a number of layers >= 0")

    dtypes: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}

    def conv_layer(x: Array, index: int, size: int) -> Array:
        # XLA's gradient of a convolution of one tap takes several times as long as that of the product it is.
        conv: nn.Module = (
            PointwiseConv(features, **dtypes, implementation=implementation, name=f"conv{index}")
            if size == 1
            else nn.Conv(features, (size, size), **dtypes, name=f"conv{index}")
        )

        def norm(x: Array, of: str | None) -> Array:
            how: dict[str, Any] = {"act_type": of, "implementation": implementation, **dtypes}
            return normalise(x, norm_type, training=training, name=f"norm{index}", **how)

        if norm_order == "post":
            return norm(conv(x), act_type)
        return conv(activation(act_type)(norm(x, None)))

    if mode == "pathtracker":
        return conv_layer(frames, 1, 1)
    for index in range(1, layers + 1):
        frames = nn.max_pool(conv_layer(frames, index, 3), (2, 2), strides=(2, 2), padding="SAME")
    return frames
