"""The published feature schemas, one a module: `encode` a sample to a payload, `decode` features to a sample.

A sample is {"image" or "video": uint8 or float32 array, "label": int}; see `published` for telling them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from cssm.data.example import Values
from cssm.data.schemas import dist15, image, jpeg, video

ALL: tuple[ModuleType, ...] = (image, video, dist15, jpeg)


def schema_of(features: Mapping[str, Values]) -> ModuleType:
    """The schema that features follow.

    Raises:
      ValueError: none of them.
    """
    for schema in ALL:
        if schema.fits(features):
            return schema
    kinds = ", ".join(f"{key} {_kind(value)}" for key, value in sorted(features.items())) or "none"
    raise ValueError(f"features: got {kinds}, expected those of images, video, GZIP clips or JPEG")


def _kind(value: Values) -> str:
    return f"bytes[{len(value)}]" if isinstance(value, list) else f"{value.dtype}[{len(value)}]"
