"""Random access to the records of a file, by an index of their offsets."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from cssm.data.atomic import replacing
from cssm.data.crc32c import masked_crc32c
from cssm.data.tfrecord import BAD_PAYLOAD, FOOTER, HEADER, RecordError, frame, is_compressed, length_of, read_records


class RecordFile:
    """The payloads of an uncompressed file: len(file), file[i]. Threads may share it; it can be pickled.

    Args:
      path: of the file.
      verify: compare the CRC of a payload when it is read.
      keep_index: write the index to `<path>.idx.npy`, and read it from there while it is newer than the file. Where
        the directory cannot be written, the index is made again every time.

    Raises:
      RecordError: a header is corrupt, or the last record cut short; file[i]: a payload is corrupt.
      ValueError: the file is compressed: see `decompressed`.
      FileNotFoundError: no such file.
    """

    def __init__(self, path: str | os.PathLike[str], *, verify: bool = True, keep_index: bool = True) -> None:
        self.path, self.verify = Path(path), verify
        self.index = _index(self.path, keep_index)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> bytes:
        offset, length = self.index[i].tolist()
        with open(self.path, "rb", buffering=0) as file:  # not kept open: sets have more files than processes may
            payload = os.pread(file.fileno(), length, offset + HEADER.size)
            crc = os.pread(file.fileno(), FOOTER.size, offset + HEADER.size + length)
        if len(crc) < FOOTER.size or (self.verify and crc != FOOTER.pack(masked_crc32c(payload))):
            raise RecordError(self.path, offset, BAD_PAYLOAD)
        return payload


def make_index(path: str | os.PathLike[str]) -> np.ndarray:
    """int64 (records, 2): offset of each record and length of its payload, from the headers alone.

    Raises:
      RecordError: a header is corrupt, or the last record cut short.
    """
    size = os.path.getsize(path)
    rows, offset = [], 0
    with open(path, "rb") as file:
        while offset < size:
            file.seek(offset)
            length = length_of(file.read(HEADER.size), path, offset)
            end = offset + HEADER.size + length + FOOTER.size
            if end > size:
                raise RecordError(path, offset, f"it ends at byte {end}, and the file at byte {size}")
            rows.append((offset, length))
            offset = end
    return np.array(rows, np.int64).reshape(-1, 2)


def decompressed(path: str | os.PathLike[str], cache: str | os.PathLike[str] | None = None) -> Path:
    """An uncompressed copy of a compressed file, made the first time; the file itself where it is not compressed.

    Args:
      cache: the directory of the copy (`.uncompressed` beside the file). A copy is another one when the file's size or
        time of change is.

    Raises:
      RecordError: a record is corrupt or cut short, as GZIP or by its CRCs.
      OSError: the cache cannot be written.
    """
    path = Path(path)
    if not is_compressed(path):
        return path
    stat = path.stat()
    folder = path.parent / ".uncompressed" if cache is None else Path(cache)
    copy = folder / f"{path.name}.{stat.st_size}-{stat.st_mtime_ns}.tfrecord"
    if not copy.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(copy) as out:
            for payload in read_records(path):
                out.write(frame(payload))
    return copy


def _index(path: Path, keep: bool) -> np.ndarray:
    if is_compressed(path):
        raise ValueError(f"path: got {str(path)!r}, compressed, expected an uncompressed file")
    stat = path.stat()
    kept = path.with_name(f"{path.name}.idx.npy")
    if keep and kept.exists() and kept.stat().st_mtime_ns >= stat.st_mtime_ns:
        index = np.load(kept)
        if (index[-1].sum() + HEADER.size + FOOTER.size if len(index) else 0) == stat.st_size:
            return index
    index = make_index(path)
    if keep and os.access(path.parent, os.W_OK):
        with replacing(kept) as file:
            np.save(file, index)
    return index
