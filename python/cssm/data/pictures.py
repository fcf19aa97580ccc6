"""Decoding, cropping and resizing of image files with Pillow, to uint8 (H, W, 3).

A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where what is wanted of it is no larger: Pillow's draft mode.
"""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

LEAST_AREA, MOST_AREA = 0.08, 1.0
LEAST_RATIO, MOST_RATIO = 3 / 4, 4 / 3
_TRIES = 10

Box = tuple[float, float, float, float]


class UndecodableError(ValueError):
    """Bytes that Pillow can make no image of."""


def open_rgb(content: bytes) -> np.ndarray:
    """The whole image.

    Raises:
      UndecodableError: no image.
    """
    return np.asarray(_decoded(content, None, None))


def resized(content: bytes, box: Box, size: int) -> np.ndarray:
    """A part of an image, (left, top, right, bottom) in its pixels, bilinearly resized to size x size.

    Raises:
      UndecodableError: no image.
    """
    return np.asarray(_decoded(content, box, size))


def rgb_of_grey(grey: np.ndarray) -> np.ndarray:
    """(H, W) three times, (H, W, 3): a channel at a time, several times faster than `broadcast_to` or `repeat`."""
    rgb = np.empty((*grey.shape, 3), grey.dtype)
    for channel in range(3):
        rgb[..., channel] = grey
    return rgb


def read_resized(path: Path, mode: str, size: int | None) -> np.ndarray:
    """A file as Pillow's mode "L", (H, W), or "RGB", bilinearly resized to size x size where a size is given.

    Raises:
      UndecodableError: no image; it names the file.
    """
    try:
        with Image.open(path) as image:
            converted = image.convert(mode)
    except _PILLOW as error:
        raise UndecodableError(f"{path}: {_reason(error)}") from error
    return np.asarray(converted if size is None else converted.resize((size, size), Image.Resampling.BILINEAR))


def dimensions(content: bytes) -> tuple[int, int]:
    """(width, height), from the header alone.

    Raises:
      UndecodableError: no image.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except _PILLOW as error:
        raise UndecodableError(_reason(error)) from error


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """A part of 8 to 100 % of the area and of a ratio, log-uniform, of 3/4 to 4/3; the centre where none of ten fits.

    Source: data specification 6, after Szegedy et al. 2015.
    """
    for _ in range(_TRIES):
        area = width * height * rng.uniform(LEAST_AREA, MOST_AREA)
        ratio = math.exp(rng.uniform(math.log(LEAST_RATIO), math.log(MOST_RATIO)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, round(height * MOST_RATIO)), min(height, round(width / LEAST_RATIO))
    return _centred(width, height, w, h)


def centre_box(width: int, height: int, margin: float) -> Box:
    """The square that is left of the centre when the shorter side becomes `margin` times the size of the crop."""
    side = min(width, height) / margin
    return _centred(width, height, side, side)


def _centred(width: int, height: int, w: float, h: float) -> Box:
    left, top = (width - w) / 2, (height - h) / 2
    return left, top, left + w, top + h


# What Pillow raises for files that are broken: its PNG reader SyntaxError, others what their parsing meets.
_PILLOW = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)


def _decoded(content: bytes, box: Box | None, size: int | None) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content)) as image:
            if box is None or size is None:
                return image.convert("RGB")
            width, height = image.size
            fraction = min(1.0, size / min(box[2] - box[0], box[3] - box[1]))
            image.draft("RGB", (math.ceil(width * fraction), math.ceil(height * fraction)))
            x, y = image.width / width, image.height / height
            drafted = box[0] * x, box[1] * y, box[2] * x, box[3] * y
            return image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, box=drafted)
    except _PILLOW as error:
        raise UndecodableError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """The same for the same file, so that a warning is given once: Pillow names the buffer's address."""
    return "no kind of image that is known" if isinstance(error, UnidentifiedImageError) else str(error)
