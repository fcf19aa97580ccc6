"""The CSV: one row a cell. Written a row at a time, so that an interrupted run keeps what it has measured."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

NAN = math.nan

OK = "ok"
OOM = "oom"
ERROR = "error"
TIMEOUT = "timeout"
SKIPPED = "skipped"
MISMATCH = "mismatch"
"""Values of the status columns. `mismatch`: the result is wrong, hence no time."""

_WORST_FIRST = (MISMATCH, ERROR, OOM, TIMEOUT, SKIPPED, OK)

_OOM = re.compile(
    r"out of memory|resource_exhausted|(?<![a-z])oom(?![a-z])|memoryerror|autotuning failed|no valid config",
    re.IGNORECASE,
)


def classify(error: BaseException) -> str:
    """`oom` or `error`, by the type and text of an exception."""
    return OOM if _OOM.search(f"{type(error).__name__}: {error}") else ERROR


def worst(*statuses: str) -> str:
    """The most serious of several statuses."""
    return min(statuses, key=_WORST_FIRST.index)


class Key(NamedTuple):
    """What makes two rows the same cell, within a run id."""

    panel: str
    cssm_type: str
    impl: str
    H: int
    embed_dim: int
    T_video: int
    depth: int
    kernel_size: int
    batch: int
    dtype: str
    input: str
    frame_readout: str
    allocator: str


@dataclass
class Row:
    """One cell; the fields are the columns, in order.

    The first 19 are those of the published files, the next eight were added by the specification of this suite, the
    rest are ours. Times are in ms per call, memory in MB (1e6 bytes). `N` is H * H, the tokens of a frame.

    Attributes:
      fwd_ms: median over the retries of their medians; `_min`/`_max` the range of those medians, `_best` the shortest
        call, `fwd_calls` the timed calls.
      fwd_dev_ms: time per call without host dispatch: on a GPU between CUDA events, elsewhere inside one compiled loop;
        `bwd_dev_ms` the same of fwd+bwd.
      peak_mb: temporary memory of the larger of the two programs, as XLA's memory analysis states it.
      compile_s: trace, lower and compile of both programs.
      out_rel_err: distance of the outputs from those of `compared_with`; `grad_rel_err` likewise.
      measured_at: when the group of interleaved cells was measured: only rows that share it saw the same machine.
    """

    run_id: int = 1
    panel: str = ""
    cssm_type: str = ""
    name: str = ""
    H: int = 0
    N: int = 0
    T_video: int = 1
    embed_dim: int = 0
    depth: int = 1
    kernel_size: int = 0
    batch: int = 1
    fwd_ms: float = NAN
    fwd_bwd_ms: float = NAN
    fwd_ms_min: float = NAN
    fwd_ms_max: float = NAN
    fwd_bwd_ms_min: float = NAN
    fwd_bwd_ms_max: float = NAN
    params: int = 0
    status: str = OK
    backend: str = ""
    device: str = ""
    jax: str = ""
    fwd_dev_ms: float = NAN
    bwd_dev_ms: float = NAN
    peak_mb: float = NAN
    compile_s: float = NAN
    impl: str = ""
    status_fwd: str = OK
    status_bwd: str = OK
    allocator: str = "default"
    dtype: str = "fp32"
    input: str = "image"
    frame_readout: str = "last"
    fwd_ms_best: float = NAN
    fwd_bwd_ms_best: float = NAN
    fwd_calls: int = 0
    fwd_bwd_calls: int = 0
    fwd_peak_mb: float = NAN
    fwd_bwd_peak_mb: float = NAN
    fwd_compile_s: float = NAN
    fwd_bwd_compile_s: float = NAN
    compared_with: str = ""
    out_rel_err: float = NAN
    grad_rel_err: float = NAN
    measured_at: str = ""
    note: str = ""

    @property
    def series(self) -> str:
        """Key of the series."""
        return f"{self.cssm_type}:{self.impl}"

    @property
    def key(self) -> Key:
        """The cell."""
        return Key(*(getattr(self, name) for name in Key._fields))


COLUMNS = tuple(field.name for field in fields(Row))
_TYPES = {field.name: {"int": int, "float": float, "str": str}[str(field.type)] for field in fields(Row)}


def _format(value: Any) -> str:
    return repr(round(value, 6)) if isinstance(value, float) else str(value)


def _line(values: Iterable[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([_format(value) for value in values])
    return buffer.getvalue()


def start(path: Path) -> None:
    """Begin a new CSV; one that is there is kept as NAME.previous.csv."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.replace(path.with_suffix(".previous.csv"))
    path.write_text(_line(COLUMNS))


def append(path: Path, row: Row) -> None:
    """Add one row, in a single write that has reached the disk on return."""
    line = _line(getattr(row, name) for name in COLUMNS)
    with open(path, "rb+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = "\n" + line
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[Row]:
    """All rows of a CSV, ours or of the reference (which lacks columns, among them run_id and T_video in old files).

    A row cut short by an interruption is dropped.

    Raises:
      ValueError: no file of this suite.
    """
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or []
        missing = [name for name in ("cssm_type", "fwd_ms", "fwd_bwd_ms", "status") if name not in header]
        if missing:
            raise ValueError(
                f"{path} has the columns {', '.join(header) or '(none)'}; expected at least {', '.join(missing)}"
            )
        return [_row(values) for values in reader if None not in values.values()]


def check_appendable(path: Path) -> None:
    """Raises ValueError if rows of this version do not fit into the CSV."""
    with open(path, newline="") as file:
        header = tuple(next(csv.reader(file), ()))
    if header != COLUMNS:
        raise ValueError(f"{path} has the columns {', '.join(header)}; expected {', '.join(COLUMNS)}: start a new CSV")


def _row(values: dict[str, str]) -> Row:
    row = Row(**{name: _TYPES[name](text) for name, text in values.items() if name in _TYPES and text != ""})
    if "impl" not in values:
        row.impl = "xla"
    if "status_fwd" not in values:
        row.status_fwd = row.status_bwd = row.status
    return row


def latest(rows: Iterable[Row], run_id: int | None = None) -> list[Row]:
    """The last row of each cell of one run id (the last one in the file, unless given)."""
    rows = list(rows)
    if run_id is None and rows:
        run_id = rows[-1].run_id
    cells: dict[Key, Row] = {}
    for row in rows:
        if row.run_id == run_id:
            cells.pop(row.key, None)
            cells[row.key] = row
    return list(cells.values())
