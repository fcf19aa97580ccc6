"""The short depthwise convolutions that go before a selective recurrence."""

from __future__ import annotations

from typing import Any

import jax
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.depthwise import DepthwiseConv
from cssm.nn.temporal import CausalConv


def short_convolutions(
    m: Array,
    before: Array | None,
    *,
    spatial_size: int,
    temporal_size: int,
    dtype: DTypeLike | None,
    param_dtype: DTypeLike,
    implementation: str | None,
) -> tuple[Array, Array | None]:
    """silu(temporal(spatial(m))) of m (B, T, H, W, C), and the frames to pass on as `before`; a size of 0 leaves one out.

    Parameters, in the calling compact module: short_conv_spatial/{kernel (s, s, 1, C), bias};
    short_conv_temporal/{kernel (s, 1, C), bias}.
    """
    fields: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "implementation": implementation}
    after = None
    if spatial_size:
        m = DepthwiseConv(spatial_size, **fields, name="short_conv_spatial")(m)
    if temporal_size:
        m, after = CausalConv(temporal_size, **fields, name="short_conv_temporal")(m, before)
    return jax.nn.silu(m), after
