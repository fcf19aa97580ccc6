"""Clips of the original PathTracker release, "15-dist", in GZIP files: `image` bytes[1], uint8 (F, H, W, 3).

`label` bytes[1] of one byte; `height`, `width` int64[1]; F by the bytes there are. Source: data specification 5.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cssm.data.example import Values, encode
from cssm.data.schemas.fields import array, data, has, integer


def encode_clip(video: np.ndarray, label: int) -> bytes:
    """The payload of a uint8 clip (F, H, W, 3).

    Raises:
      ValueError: another shape or dtype, or a label that is no byte.
    """
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[3] != 3:
        raise ValueError(f"video: got {video.shape} {video.dtype}, expected (F, H, W, 3) uint8")
    if not 0 <= label < 256:
        raise ValueError(f"label: got {label}, expected 0 to 255")
    content = np.ascontiguousarray(video).tobytes()
    return encode({"image": content, "label": bytes((label,)), "height": video.shape[1], "width": video.shape[2]})


def fits(features: Mapping[str, Values]) -> bool:
    """Whether features follow this schema."""
    return has(features, image=bytes, label=bytes, height=int, width=int)


def decode(features: Mapping[str, Values]) -> dict[str, Any]:
    """{"video": (F, H, W, 3) uint8, "label"}

    Raises:
      ValueError: features of other types or sizes.
    """
    height, width, label = integer(features, "height"), integer(features, "width"), data(features, "label")
    if len(label) != 1:
        raise ValueError(f"feature label: got {len(label)} bytes, expected 1")
    frames = len(data(features, "image")) // (height * width * 3 or 1)
    return {"video": array(features, "image", "u1", (frames, height, width, 3)), "label": label[0]}
