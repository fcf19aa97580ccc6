"""PathTracker: .npy clips to record files, in both published forms. Source: data specification 5."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cssm.data.schemas.dist15 import encode_clip
from cssm.data.schemas.video import encode_video
from cssm.data.shards import write_metadata, write_shards
from cssm.data.splits import PATHTRACKER_TEST, PATHTRACKER_TRAIN, SEED, pathtracker_split
from cssm.data.subsample import frame_indices

LEGACY_PER_SHARD = 1000
GZIP_PER_SHARD = 500


def convert_legacy(
    root: Path,
    out: Path,
    *,
    num_frames: int | None = None,
    train: int = PATHTRACKER_TRAIN,
    test: int = PATHTRACKER_TEST,
) -> dict[str, int]:
    """{root}/{0,1}/{label}_sample_{n}.npy, uint8 (F, H, W, 3) -> {out}/{train,val,test}/shard_*.tfrecord. Samples by split.

    Args:
      num_frames: kept of each clip, by indices rounded down, as published; None: all.
      train, test: how many, of which a tenth of the former is val.

    Raises:
      ValueError: there are no clips, or fewer than asked for.
      FileExistsError: `out` has shards already.
    """
    listing = list_clips(root)
    splits = pathtracker_split(len(listing), train, test)
    video, _ = next(_clips(listing[:1], num_frames))
    metadata = {
        "total_samples": train + test,
        "image_size": video.shape[1],
        "num_frames": len(video),
        "channels": video.shape[3],
        "seed": SEED,
    }
    for name, order in splits.items():
        payloads = (encode_video(*clip) for clip in _clips([listing[i] for i in order], num_frames))
        shards = write_shards(
            out / name, payloads, len(order), LEGACY_PER_SHARD, lambda index, _: f"shard_{index:04d}.tfrecord"
        )
        metadata |= {f"{name}_samples": len(order), f"{name}_shards": shards}
    write_metadata(out, metadata)
    return {name: len(order) for name, order in splits.items()}


def convert_gzip(
    root: Path, out: Path, *, train: int = PATHTRACKER_TRAIN, test: int = PATHTRACKER_TEST, batch: int = 0
) -> dict[str, int]:
    """The same clips, all their frames, -> {out}/{train,test}-batch_{k}--{i}-of-{n}, GZIP. Samples by kind of file.

    Args:
      train, test: how many; val is made of training files by loaders.
      batch: k.

    Raises:
      ValueError: there are no clips, or fewer than asked for.
      FileExistsError: `out` has shards already.
    """
    listing = list_clips(root)
    splits = pathtracker_split(len(listing), train, test)
    orders = {"train": np.concatenate([splits["train"], splits["val"]]), "test": splits["test"]}
    for kind, order in orders.items():
        payloads = (encode_clip(*clip) for clip in _clips([listing[i] for i in order], None))

        def name(index: int, count: int, kind: str = kind) -> str:
            return f"{kind}-batch_{batch}--{index:05d}-of-{count:05d}"

        write_shards(out, payloads, len(order), GZIP_PER_SHARD, name, compress=True)
    return {kind: len(order) for kind, order in orders.items()}


def list_clips(root: Path) -> list[tuple[Path, int]]:
    """(file, label), label 0 first, by n.

    Raises:
      ValueError: there are no files of a label, or one of another name.
    """
    listing = []
    for label in (0, 1):
        numbered = []
        for path in (root / str(label)).glob("*.npy"):
            match = re.fullmatch(rf"{label}_sample_(\d+)", path.stem)
            if match is None:
                raise ValueError(f"{path}: expected a name such as {label}_sample_0.npy")
            numbered.append((int(match[1]), path))
        if not numbered:
            raise ValueError(f"{root / str(label)}: expected {label}_sample_0.npy and so on in it")
        listing += [(path, label) for _, path in sorted(numbered)]
    return listing


def _clips(listing: list[tuple[Path, int]], num_frames: int | None) -> Iterator[tuple[np.ndarray, int]]:
    for path, label in listing:
        video = np.load(path)
        yield (video if num_frames is None else video[frame_indices(len(video), num_frames, truncate=True)]), label
