"""The shards of a split, and how many samples each split has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cssm.data.record_source import RecordSource
from cssm.data.registry import Request
from cssm.data.shards import read_metadata


def split_source(folder: Path, split: str, request: Request) -> RecordSource:
    """The samples of {folder}/{split}/*.tfrecord.

    Raises:
      ValueError: there are no such files, or not the samples that metadata.json tells of.
    """
    paths = sorted((folder / split).glob("*.tfrecord"))
    if not paths:
        raise ValueError(f"root: got {str(folder)!r}, expected {split}/*.tfrecord in it")
    source = RecordSource(paths, request.cache)
    told = read_metadata(folder).get(f"{split}_samples", len(source))
    if told != len(source):
        raise ValueError(f"{folder / split}: got {len(source)} samples, expected {told} by metadata.json")
    return source


def split_counts(folder: Path, *splits: str) -> dict[str, int]:
    """Samples by split, by metadata.json."""
    metadata = read_metadata(folder)
    return {split: int(metadata[f"{split}_samples"]) for split in splits if f"{split}_samples" in metadata}


def last_tenth(count: int) -> int:
    """Of files held out: a tenth, and one at least."""
    return max(1, int(np.floor(0.1 * count)))
