"""A scan of record files: every record read, its CRCs compared, its sample decoded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cssm.data.example import decode
from cssm.data.schemas import schema_of
from cssm.data.tfrecord import BAD_PAYLOAD, Record, RecordError, scan_records


def find_files(path: Path) -> list[Path]:
    """The record files in a directory and below, sorted; or the file itself.

    Raises:
      ValueError: there are none.
    """
    if path.is_file():
        return [path]
    patterns = ("*.tfrecord", "train-batch_*--*-of-*", "test-batch_*--*-of-*")
    found = {file for pattern in patterns for file in path.rglob(pattern) if _is_original(file, path)}
    if not found:
        raise ValueError(f"path: got {str(path)!r}, expected a record file, or a directory of *.tfrecord or *-batch_*")
    return sorted(found)


def check_files(files: list[Path]) -> dict[str, Any]:
    """JSON: total_files, total_records, records by file, total_corrupted_images, and corrupted_files, a list of
    {file, num_corrupted, corrupted_records: a list of {record, offset, reason}}.

    A file whose next record cannot be found counts as corrupted once, at that record; what follows is not read.
    """
    records, corrupted = {}, []
    for file in files:
        count, bad = _check(file)
        records[str(file)] = count
        if bad:
            corrupted.append({"file": str(file), "num_corrupted": len(bad), "corrupted_records": bad})
    return {
        "total_files": len(files),
        "total_records": sum(records.values()),
        "records": records,
        "corrupted_files": corrupted,
        "total_corrupted_images": sum(entry["num_corrupted"] for entry in corrupted),
    }


def report_json(report: dict[str, Any]) -> str:
    """The report, indented."""
    return json.dumps(report, indent=2)


def _check(file: Path) -> tuple[int, list[dict[str, Any]]]:
    count, bad = 0, []
    try:
        for record in scan_records(file):
            if reason := _wrong(record):
                bad.append({"record": count, "offset": record.offset, "reason": reason})
            count += 1
    except RecordError as error:
        bad.append({"record": count, "offset": error.offset, "reason": error.reason})
    return count, bad


def _wrong(record: Record) -> str | None:
    if not record.intact:
        return BAD_PAYLOAD
    try:
        features = decode(record.payload)
        schema_of(features).decode(features)
    except ValueError as error:
        return str(error)
    return None


def _is_original(file: Path, root: Path) -> bool:
    return file.is_file() and file.suffix != ".npy" and not any(part[0] == "." for part in file.relative_to(root).parts)
