"""ImageNet: folders of JPEG to record files of the same bytes. Source: data specification 6."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cssm.data.atomic import replacing
from cssm.data.imagenet_listing import list_flat_val, list_folders, read_classes
from cssm.data.schemas.jpeg import encode_jpeg
from cssm.data.shards import write_shards
from cssm.data.splits import shuffled

SHARDS = {"train": 1024, "val": 128}


def convert_imagenet(root: Path, out: Path, split: str, shards: int | None = None) -> dict[str, int]:
    """{root}/{split}/{wnid}/*.JPEG, or a flat val and its ground truth -> {out}/{split}/{split}-*-of-*.tfrecord, shuffled,
    and {out}/{split}_class_mapping.txt. Samples by split.

    Args:
      shards: how many files at most (1024 of train, 128 of val).

    Raises:
      ValueError: an unknown split, no images, or classes that cannot be told.
      FileExistsError: `out` has shards already.
    """
    if split not in SHARDS:
        raise ValueError(f"split: got {split!r}, expected train or val")
    classes = read_classes(root, split)
    flat = split == "val" and not any(path.is_dir() for path in (root / split).glob("*"))
    listing = list_flat_val(root, classes) if flat else list_folders(root / split, classes)
    per_shard = int(np.ceil(len(listing) / (shards or SHARDS[split])))
    payloads = (encode_jpeg(listing[i][0].read_bytes(), listing[i][1]) for i in shuffled(len(listing)))
    write_shards(
        out / split,
        payloads,
        len(listing),
        per_shard,
        lambda index, count: f"{split}-{index:05d}-of-{count:05d}.tfrecord",
    )
    with replacing(out / f"{split}_class_mapping.txt") as file:
        file.write("".join(f"{i}\t{wnid}\n" for i, wnid in enumerate(classes)).encode())
    return {split: len(listing)}
