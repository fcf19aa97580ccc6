"""Images of Pathfinder and cABC: `image` float32, normalised with ImageNet's statistics; or `image_u8`, a twelfth of it.

`image` bytes[1], float32 (H, W, 3); `label`, `height`, `width`, `channels` int64[1]. With an encoding, `image`
gives place to `image_u8` bytes[1] and `encoding` bytes[1]: "uint8", the array's bytes, or "png"; `channels` is then 1 or 3.
Source: data specification 3.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from cssm.data.example import Values, encode
from cssm.data.normalisation import IMAGENET
from cssm.data.pictures import rgb_of_grey
from cssm.data.schemas.fields import array, data, has, integer

ENCODINGS = ("float32", "uint8", "png")


def encode_image(image: np.ndarray, label: int, encoding: str = "float32") -> bytes:
    """The payload of a uint8 image, (H, W) grey or (H, W, 3).

    Raises:
      ValueError: another shape, dtype or encoding.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"image: got {image.shape} {image.dtype}, expected (H, W) or (H, W, 3) uint8")
    channels = 1 if image.ndim == 2 else 3
    features: dict[str, Any] = {"label": label, "height": image.shape[0], "width": image.shape[1]}
    if encoding == "float32":
        rgb = rgb_of_grey(image) if image.ndim == 2 else image
        features |= {"image": IMAGENET(rgb).astype("<f4").tobytes()}
        return encode(features | {"channels": 3})
    if encoding == "uint8":
        content = np.ascontiguousarray(image).tobytes()
    elif encoding == "png":
        file = io.BytesIO()
        Image.fromarray(image).save(file, "png")
        content = file.getvalue()
    else:
        raise ValueError(f"encoding: got {encoding!r}, expected one of {', '.join(ENCODINGS)}")
    return encode(features | {"channels": channels, "image_u8": content, "encoding": encoding.encode()})


def fits(features: Mapping[str, Values]) -> bool:
    """Whether features follow this schema."""
    sizes = has(features, label=int, height=int, width=int, channels=int)
    return sizes and (has(features, image=bytes) or has(features, image_u8=bytes, encoding=bytes))


def decode(features: Mapping[str, Values]) -> dict[str, Any]:
    """{"image": (H, W, 3) float32, normalised, or uint8; "label"}

    Raises:
      ValueError: features of other types or sizes.
    """
    shape = integer(features, "height"), integer(features, "width"), integer(features, "channels")
    label = integer(features, "label")
    if "image" in features:
        return {"image": array(features, "image", "<f4", shape), "label": label}
    encoding = data(features, "encoding")
    if encoding == b"uint8":
        image = array(features, "image_u8", "u1", shape)
    elif encoding == b"png":
        with Image.open(io.BytesIO(data(features, "image_u8")), formats=["png"]) as picture:
            image = np.asarray(picture).reshape(shape)
    else:
        raise ValueError(f"feature encoding: got {encoding!r}, expected b'uint8' or b'png'")
    return {"image": rgb_of_grey(image[..., 0]) if shape[2] == 1 else image, "label": label}
