"""Image files with labels, wherever they lie, and samples made of them by decoding, cropping and resizing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cssm.data.pictures import Box, UndecodableError, centre_box, dimensions, random_box, resized
from cssm.data.record_source import RecordSource
from cssm.data.schemas.fields import data, integer

Listing = Sequence[tuple[Path, int]]


class Encoded(Protocol):
    """Random access to image files."""

    def __len__(self) -> int: ...

    def name(self, i: int) -> str:
        """Which file it is, for messages."""

    def read(self, i: int) -> tuple[bytes, int]:
        """(contents of the file, label)"""


class Folder:
    """Files of a listing."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing

    def __len__(self) -> int:
        return len(self.listing)

    def name(self, i: int) -> str:
        return str(self.listing[i][0])

    def read(self, i: int) -> tuple[bytes, int]:
        path, label = self.listing[i]
        return path.read_bytes(), label


class Records:
    """Features `image` and `label` of record files."""

    def __init__(self, source: RecordSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def name(self, i: int) -> str:
        file, record = self.source.locate(i)
        return f"{file.path}, record {record}"

    def read(self, i: int) -> tuple[bytes, int]:
        features = self.source.features(i)
        return data(features, "image"), integer(features, "label")


class Pictures:
    """uint8 (size, size, 3) of image files: pictures[i] the centre; pictures.draw(i, rng) a random part, flipped or not.

    For a file that cannot be decoded comes the next that can, with a warning that names it: batches stay whole.

    Args:
      files: the image files.
      size: of a picture.
      margin: the shorter side is resized to margin x size before the centre is cut out.

    Raises:
      UndecodableError: by pictures[i], where none of the files can be decoded.
    """

    def __init__(self, files: Encoded, size: int, margin: float) -> None:
        self.files, self.size, self.margin = files, size, margin

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self._first(i, lambda width, height: centre_box(width, height, self.margin))

    def draw(self, i: int, rng: np.random.Generator) -> dict[str, Any]:
        """Sample i with a random part of 8 to 100 % of the area."""
        sample = self._first(i, lambda width, height: random_box(width, height, rng))
        if rng.random() < 0.5:
            sample["image"] = sample["image"][:, ::-1]
        return sample

    def _first(self, i: int, box: Callable[[int, int], Box]) -> dict[str, Any]:
        for j in range(i, i + len(self)):
            content, label = self.files.read(j % len(self))
            try:
                return {"image": resized(content, box(*dimensions(content)), self.size), "label": label}
            except UndecodableError as error:
                warnings.warn(f"{self.files.name(j % len(self))} is skipped: {error}", stacklevel=2)
        raise UndecodableError(f"none of {len(self)} files can be decoded")
