"""TFRecord files: a record is its length (uint64), the length's CRC, the payload, and the payload's CRC, little-endian.

A file may be compressed with GZIP as a whole; readers tell by its first bytes. Source: data specification 2.1.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from cssm.data.atomic import replacing
from cssm.data.crc32c import masked_crc32c

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
_GZIP_MAGIC = b"\x1f\x8b"


class RecordError(ValueError):
    """A record that is corrupt or cut short.

    Fields:
      path: of the file.
      offset: of the record's first byte, in the file, or in what a GZIP file holds.
      reason: what is wrong with it.
    """

    def __init__(self, path: str | os.PathLike[str], offset: int, reason: str) -> None:
        super().__init__(path, offset, reason)  # so that it can be pickled, by a worker process
        self.path, self.offset, self.reason = Path(path), offset, reason

    def __str__(self) -> str:
        return f"{self.path}, record at byte {self.offset}: {self.reason}"


class Record(NamedTuple):
    """A record as it lies in its file; `intact` says whether the payload has the CRC stored with it."""

    offset: int
    payload: bytes
    intact: bool


def write_records(path: str | os.PathLike[str], payloads: Iterable[bytes], *, compress: bool = False) -> int:
    """Writes a file of records, which appears when it is whole; how many there are.

    Args:
      compress: with GZIP, to the same bytes for the same payloads.
    """
    count = 0
    with replacing(path) as file:
        out = gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) if compress else file
        for payload in payloads:
            out.write(frame(payload))
            count += 1
        if compress:
            out.close()
    return count


def frame(payload: bytes) -> bytes:
    """The record of a payload."""
    length = struct.pack("<Q", len(payload))
    return b"".join((length, FOOTER.pack(masked_crc32c(length)), payload, FOOTER.pack(masked_crc32c(payload))))


def read_records(path: str | os.PathLike[str], *, verify: bool = True) -> Iterator[bytes]:
    """The payloads of a file, one after the other.

    Args:
      verify: compare the payloads' CRCs; those of the lengths always are.

    Raises:
      RecordError: a record is corrupt or cut short.
      FileNotFoundError: no such file.
    """
    for record in scan_records(path, verify=verify):
        if not record.intact:
            raise RecordError(path, record.offset, BAD_PAYLOAD)
        yield record.payload


BAD_PAYLOAD = "its payload does not have the CRC stored with it"


def scan_records(path: str | os.PathLike[str], *, verify: bool = True) -> Iterator[Record]:
    """As `read_records`, but goes on after a payload that is corrupt.

    Raises:
      RecordError: where the next record cannot be found.
      FileNotFoundError: no such file.
    """
    offset = 0
    with open_stream(path) as file:
        while header := _read(file, HEADER.size, path, offset):
            length = length_of(header, path, offset)
            body = _read(file, length + FOOTER.size, path, offset)
            if len(body) < length + FOOTER.size:
                raise RecordError(path, offset, f"the file ends {len(body)} bytes into {length} bytes and their CRC")
            payload = body[:length]
            intact = not verify or FOOTER.unpack_from(body, length)[0] == masked_crc32c(payload)
            yield Record(offset, payload, intact)
            offset += HEADER.size + length + FOOTER.size


def length_of(header: bytes, path: str | os.PathLike[str], offset: int) -> int:
    """The length of the payload after a header.

    Raises:
      RecordError: the header is cut short, or its CRC is another.
    """
    if len(header) < HEADER.size:
        raise RecordError(path, offset, f"the file ends {len(header)} bytes into a header of {HEADER.size}")
    length, crc = HEADER.unpack(header)
    if crc != masked_crc32c(header[:8]):
        raise RecordError(path, offset, "its length does not have the CRC stored with it")
    return length


def is_compressed(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as GZIP files do, and not as a record of 35,615 + 2^16 k bytes does, by its CRC."""
    with open(path, "rb") as file:
        header = file.read(HEADER.size)
    if not header.startswith(_GZIP_MAGIC):
        return False
    return len(header) < HEADER.size or HEADER.unpack(header)[1] != masked_crc32c(header[:8])


def open_stream(path: str | os.PathLike[str]) -> IO[bytes]:
    """The records of a file, decompressed where they are compressed."""
    return cast(IO[bytes], gzip.open(path, "rb")) if is_compressed(path) else open(path, "rb")


def _read(file: IO[bytes], size: int, path: str | os.PathLike[str], offset: int) -> bytes:
    """Up to `size` bytes: a length that is nonsense must not be allocated before the file is known to have it."""
    try:
        parts = io.BytesIO()
        while (missing := size - parts.tell()) and (part := file.read(min(missing, 1 << 24))):
            parts.write(part)
        return parts.getvalue()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RecordError(path, offset, f"GZIP: {error}") from error
