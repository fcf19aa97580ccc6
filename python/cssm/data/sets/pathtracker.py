"""PathTracker: clips with a label of 0 or 1, in both published forms. Source: data specification 5."""

from __future__ import annotations

from pathlib import Path

from cssm.data.normalisation import SYMMETRIC
from cssm.data.record_source import RecordSource
from cssm.data.registry import DataSet, Request
from cssm.data.sets.shard_files import last_tenth, split_counts, split_source

SPLITS = ("train", "val", "test")


def open_pathtracker(request: Request) -> DataSet:
    """{root}/{train,val,test}/*.tfrecord, "legacy"; or the GZIP files of `open_girik`, normalised with ImageNet's
    statistics.

    Raises:
      ValueError: no such directory or split.
    """
    root, split = request.need_root(), request.one_of(*SPLITS)
    if any(root.glob("train-batch_*")) or any(root.glob("test-batch_*")):
        return DataSet(_gzip_source(root, request))
    return DataSet(split_source(root, split, request), counts=split_counts(root, *SPLITS))


def open_girik(request: Request) -> DataSet:
    """{root}/{train,test}-batch_*, "15-dist", to be read as x / 127.5 - 1.

    Training has the first nine tenths of the training files, validation the rest; counts are exact.

    Raises:
      ValueError: no such directory or split.
    """
    return DataSet(_gzip_source(request.need_root(), request), normalisation=SYMMETRIC)


def _gzip_source(root: Path, request: Request) -> RecordSource:
    split = request.one_of(*SPLITS)
    kind = "test" if split == "test" else "train"
    paths = [path for path in sorted(root.glob(f"{kind}-batch_*")) if not path.name.endswith(".npy")]
    if len(paths) < (1 if split == "test" else 2):
        raise ValueError(f"root: got {str(root)!r}, expected files {kind}-batch_*, for training two at least")
    if split != "test":
        held_out = last_tenth(len(paths))
        paths = paths[:-held_out] if split == "train" else paths[-held_out:]
    return RecordSource(paths, request.cache)
