"""Images of ImageNet as they were published: `image` bytes[1], a JPEG file; `label` int64[1].

Source: data specification 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cssm.data.example import Values, encode
from cssm.data.pictures import open_rgb
from cssm.data.schemas.fields import data, has, integer


def encode_jpeg(content: bytes, label: int) -> bytes:
    """The payload of a JPEG file, which is not looked at."""
    return encode({"image": content, "label": label})


def fits(features: Mapping[str, Values]) -> bool:
    """Whether features follow this schema."""
    return features.keys() <= {"image", "label"} and has(features, image=bytes, label=int)


def decode(features: Mapping[str, Values]) -> dict[str, Any]:
    """{"image": (H, W, 3) uint8, "label"}

    Raises:
      ValueError: features of other types.
      UndecodableError: no image.
    """
    return {"image": open_rgb(data(features, "image")), "label": integer(features, "label")}
