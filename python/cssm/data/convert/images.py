"""Pathfinder and cABC: trees of PNG to record files of `image`. Source: data specification 3 and 4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cssm.data.listing import labelled, split_pathfinder
from cssm.data.pictures import read_resized
from cssm.data.schemas.image import encode_image
from cssm.data.shards import write_metadata, write_shards
from cssm.data.splits import SEED, shuffled

PER_SHARD = 5000
IMAGE_SIZE = 224
CABC_LEVELS = ("easy", "medium", "hard")

Listing = Sequence[tuple[Path, int]]


def convert_pathfinder(
    root: Path, out: Path, difficulty: int, *, image_size: int = IMAGE_SIZE, encoding: str = "float32"
) -> dict[str, int]:
    """{root}/curv_contour_length_{d}/imgs/{neg,pos}/*.png -> {out}/difficulty_{d}/{train,val,test}/shard_*.tfrecord.

    Grey, bilinearly resized. Samples by split.

    Args:
      encoding: see `cssm.data.schemas.image`.

    Raises:
      ValueError: there are no images, or an unknown encoding.
      FileExistsError: `out` has shards already.
    """
    splits = split_pathfinder(root, difficulty)
    metadata = {"difficulty": difficulty, "train_ratio": 0.8, "val_ratio": 0.1}
    return _convert(splits, out / f"difficulty_{difficulty}", image_size, encoding, "L", metadata)


def convert_cabc(
    root: Path, out: Path, difficulty: str, *, image_size: int = IMAGE_SIZE, encoding: str = "float32"
) -> dict[str, int]:
    """{root}/{difficulty}/images/{train,test}/{neg,pos}/{subdir}/*.png -> {out}/{difficulty}/{train,test}/shard_*.tfrecord.

    RGB, bilinearly resized, each split shuffled. Samples by split.

    Args:
      difficulty: easy, medium or hard.
      encoding: see `cssm.data.schemas.image`.

    Raises:
      ValueError: there are no images, or an unknown difficulty or encoding.
      FileExistsError: `out` has shards already.
    """
    if difficulty not in CABC_LEVELS:
        raise ValueError(f"difficulty: got {difficulty!r}, expected one of {', '.join(CABC_LEVELS)}")
    splits = {}
    metadata: dict[str, object] = {"difficulty": difficulty}
    for name in ("train", "test"):
        images = root / difficulty / "images" / name
        listing = labelled(images / "neg", images / "pos", "*/*.png")
        splits[name] = [listing[i] for i in shuffled(len(listing))]
        positives = sum(label for _, label in listing)
        metadata |= {f"{name}_pos": positives, f"{name}_neg": len(listing) - positives}
    return _convert(splits, out / difficulty, image_size, encoding, "RGB", metadata)


def _convert(
    splits: dict[str, list[tuple[Path, int]]],
    out: Path,
    image_size: int,
    encoding: str,
    mode: str,
    metadata: dict,
) -> dict[str, int]:
    sizes = {name: len(listing) for name, listing in splits.items()}
    metadata = metadata | {"image_size": image_size, "total_samples": sum(sizes.values()), "seed": SEED}
    for name, listing in splits.items():
        payloads = _payloads(listing, image_size, encoding, mode)
        shards = write_shards(out / name, payloads, len(listing), PER_SHARD)
        metadata |= {f"{name}_samples": len(listing), f"{name}_shards": shards}
    write_metadata(out, metadata | {"encoding": encoding})
    return sizes


def _payloads(listing: Listing, image_size: int, encoding: str, mode: str) -> Iterator[bytes]:
    for path, label in listing:
        yield encode_image(read_resized(path, mode, image_size), label, encoding)
