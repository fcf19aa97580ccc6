"""Splits of a data set as files of so many records each, and the metadata.json beside them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from cssm.data.atomic import replacing
from cssm.data.tfrecord import write_records

METADATA = "metadata.json"


def shard_name(index: int, count: int) -> str:
    """Of Pathfinder and cABC."""
    return f"shard_{index:05d}.tfrecord"


def write_shards(
    folder: str | os.PathLike[str],
    payloads: Iterable[bytes],
    total: int,
    per_shard: int,
    name: Callable[[int, int], str] = shard_name,
    *,
    compress: bool = False,
) -> int:
    """Writes `total` payloads, each file appearing when it is whole; how many files.

    Args:
      folder: made where it is not there.
      name: of a file, by its index and their count.
      compress: with GZIP.

    Raises:
      ValueError: more or fewer payloads.
      FileExistsError: there is such a file: an older set's would be taken for one of this.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    count = -(-total // per_shard)
    paths = [folder / name(index, count) for index in range(count)]
    for path in paths:
        if path.exists():
            raise FileExistsError(f"folder: got {str(folder)!r}, which has {path.name}, expected none of a set")
    rest = iter(payloads)
    written = 0
    for path in paths:
        written += write_records(path, islice(rest, per_shard), compress=compress)
    if written != total or next(rest, None) is not None:
        raise ValueError(f"payloads: got {'more' if written == total else written}, expected {total}")
    return count


def write_metadata(folder: str | os.PathLike[str], metadata: Mapping[str, Any]) -> None:
    """Writes metadata.json: the last file of a set, so that it says the set is whole."""
    with replacing(Path(folder) / METADATA) as file:
        file.write((json.dumps(metadata, indent=2, sort_keys=True) + "\n").encode())


def read_metadata(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """metadata.json, or {} where there is none.

    Raises:
      ValueError: it is no JSON object.
    """
    path = Path(folder) / METADATA
    if not path.exists():
        return {}
    try:
        metadata = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(metadata, dict):
        raise ValueError(f"{path}: got {type(metadata).__name__}, expected an object")
    return metadata
