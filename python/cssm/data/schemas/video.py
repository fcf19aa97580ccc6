"""Clips of PathTracker, "legacy": `video` bytes[1], float32 (F, H, W, 3), normalised with ImageNet's statistics.

`label`, `num_frames`, `height`, `width`, `channels` int64[1]. Source: data specification 5.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cssm.data.example import Values, encode
from cssm.data.normalisation import IMAGENET
from cssm.data.schemas.fields import array, data, has, integer


def encode_video(video: np.ndarray, label: int) -> bytes:
    """The payload of a uint8 clip (F, H, W, 3).

    Raises:
      ValueError: another shape or dtype.
    """
    if video.dtype != np.uint8 or video.ndim != 4 or video.shape[3] != 3:
        raise ValueError(f"video: got {video.shape} {video.dtype}, expected (F, H, W, 3) uint8")
    sizes = dict(zip(("num_frames", "height", "width", "channels"), video.shape))
    return encode(sizes | {"video": IMAGENET(video).astype("<f4").tobytes(), "label": label})


def fits(features: Mapping[str, Values]) -> bool:
    """Whether features follow this schema."""
    return has(features, video=bytes, label=int, height=int, width=int, channels=int)


def decode(features: Mapping[str, Values]) -> dict[str, Any]:
    """{"video": (F, H, W, 3) float32, normalised; "label"}; F by the bytes there are, which published files need.

    Raises:
      ValueError: features of other types or sizes.
    """
    frame = integer(features, "height"), integer(features, "width"), integer(features, "channels")
    frames = len(data(features, "video")) // (4 * int(np.prod(frame)) or 1)
    return {"video": array(features, "video", "<f4", (frames, *frame)), "label": integer(features, "label")}
