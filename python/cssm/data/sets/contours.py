"""Pathfinder and cABC: images with a label of 0 or 1. Source: data specification 3 and 4."""

from __future__ import annotations

from pathlib import Path

from cssm.data.registry import DataSet, Request
from cssm.data.sets.shard_files import counts, split_source


def open_pathfinder(request: Request) -> DataSet:
    """{root}/difficulty_{d}/{train,val,test}/*.tfrecord; the root may be the difficulty's directory itself.

    Raises:
      ValueError: no such directory or split.
    """
    root, split = request.need_root(), request.one_of("train", "val", "test")
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
    return DataSet(split_source(folder, split, request), counts=counts(folder, *splits))
