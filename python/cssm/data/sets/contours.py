"""Pathfinder and cABC: images with a label of 0 or 1. Source: data specification 3 and 4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cssm.data.listing import split_pathfinder
from cssm.data.pictures import read_resized, rgb_of_grey
from cssm.data.registry import DataSet, Request
from cssm.data.sets.shard_files import split_counts, split_source


class GreyFiles:
    """Random access to grey image files with labels, as uint8 (H, W, 3)."""

    def __init__(self, listing: Sequence[tuple[Path, int]], size: int | None) -> None:
        self.listing, self.size = listing, size

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, i: int) -> dict[str, Any]:
        path, label = self.listing[i]
        return {"image": rgb_of_grey(read_resized(path, "L", self.size)), "label": label}


def open_pathfinder(request: Request) -> DataSet:
    """{root}/difficulty_{d}/{train,val,test}/*.tfrecord; the root may be the difficulty's directory itself.

    Where the root has curv_contour_length_{d} instead, the published tree of PNG, its images are read as they are, to uint8.

    Raises:
      ValueError: no such directory or split.
    """
    root, split = request.need_root(), request.one_of("train", "val", "test")
    if (root / f"curv_contour_length_{request.difficulty}").is_dir():
        splits = split_pathfinder(root, request.difficulty)
        counts = {name: len(listing) for name, listing in splits.items()}
        return DataSet(GreyFiles(splits[split], request.image_size), counts=counts)
    return _open(root, f"difficulty_{request.difficulty}", split, request, ("train", "val", "test"))


def open_cabc(request: Request) -> DataSet:
    """{root}/{difficulty}/{train,test}/*.tfrecord; the root may be the difficulty's directory itself. `val` is `test`, as
    published.

    Raises:
      ValueError: no such directory or split.
    """
    root, split = request.need_root(), request.one_of("train", "val", "test")
    return _open(root, str(request.difficulty), "test" if split == "val" else split, request, ("train", "test"))


def _open(root: Path, name: str, split: str, request: Request, splits: tuple[str, ...]) -> DataSet:
    folder = root / name
    if not folder.is_dir():
        if request.difficulty is not None and root.name != name:
            raise ValueError(f"difficulty: got {request.difficulty!r}, expected a directory {name} in {str(root)!r}")
        folder = root
    return DataSet(split_source(folder, split, request), counts=split_counts(folder, *splits))
