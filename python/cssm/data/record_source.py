"""The samples of many record files as one sequence."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cssm.data.example import Values, decode
from cssm.data.record_file import RecordFile, decompressed
from cssm.data.schemas import schema_of
from cssm.data.tfrecord import RecordError

Sample = dict[str, Any]


class RecordSource:
    """Random access to the records of `paths`, in their order: len(source), source[i].

    Args:
      paths: record files, of any published schema. Compressed ones are decompressed to a cache, once.
      cache: see `decompressed`.

    Raises:
      RecordError: a file is cut short or corrupt; source[i]: the record is corrupt, or is of no published schema.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]], cache: str | os.PathLike[str] | None = None) -> None:
        self.paths = [Path(path) for path in paths]
        self.files = [RecordFile(decompressed(path, cache)) for path in self.paths]
        self.ends = np.cumsum([len(file) for file in self.files])

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, i: int) -> Sample:
        file, record = self.locate(i)
        features = self.features(i)
        try:
            return schema_of(features).decode(features)
        except ValueError as error:
            raise RecordError(file.path, int(file.index[record, 0]), str(error)) from error

    def features(self, i: int) -> dict[str, Values]:
        """What a record holds.

        Raises:
          RecordError: it is corrupt.
        """
        file, record = self.locate(i)
        try:
            return decode(file[record])
        except RecordError:
            raise
        except ValueError as error:
            raise RecordError(file.path, int(file.index[record, 0]), str(error)) from error

    def locate(self, i: int) -> tuple[RecordFile, int]:
        """The file of sample i, and its place there.

        Raises:
          IndexError: no such sample.
        """
        if not 0 <= i < len(self):
            raise IndexError(f"i: got {i}, expected 0 to {len(self) - 1}")
        file = int(np.searchsorted(self.ends, i, side="right"))
        return self.files[file], i - int(self.ends[file]) + len(self.files[file])
