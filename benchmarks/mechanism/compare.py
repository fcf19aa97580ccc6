"""`python -m benchmarks.mechanism.compare A.csv B.csv`: speed-up of every cell that two CSVs share."""

from __future__ import annotations

import argparse
import math
import statistics
from pathlib import Path

from benchmarks.mechanism import records, terminal
from benchmarks.mechanism.records import Key, Row
from benchmarks.mechanism.tables import Line, Table, number, times


def cells(path: Path, run_id: int | None) -> dict[Key, Row]:
    """Cells of one CSV."""
    return {row.key: row for row in records.latest(records.read(path), run_id)}


def compare(before: dict[Key, Row], after: dict[Key, Row]) -> list[Table]:
    """A table of the shared cells and one of their geometric means by series.

    Raises:
      ValueError: no cell is shared.
    """
    shared = [key for key in before if key in after]
    if not shared:
        raise ValueError(f"no cell is shared: the first has {_describe(before)}; the second {_describe(after)}")
    table = Table("Speed-up (above 1x: B is faster)", ["T", "malloc", "fwd A", "fwd B", "fwd", "f+b A", "f+b B", "f+b"])
    gains: dict[str, dict[str, list[float]]] = {}
    for key in shared:
        a, b = before[key], after[key]
        line = [str(key.T_video), key.allocator]
        for measure in ("fwd", "fwd_bwd"):
            old, new = getattr(a, f"{measure}_ms"), getattr(b, f"{measure}_ms")
            line += [number(old), number(new), times(old / new)]
            if math.isfinite(old / new):
                gains.setdefault(a.series, {}).setdefault(measure, []).append(old / new)
        table.lines.append(Line(a.series, line))
    means = Table("Geometric mean over the shared cells", ["fwd", "fwd+bwd"])
    for series, gain in gains.items():
        cells = [times(statistics.geometric_mean(gain[m])) if m in gain else "" for m in ("fwd", "fwd_bwd")]
        means.lines.append(Line(series, cells))
    return [table, means]


def _describe(rows: dict[Key, Row]) -> str:
    return ", ".join(sorted({f"{row.series} H={row.H} C={row.embed_dim}" for row in rows.values()})) or "none"


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mechanism.compare", description=compare.__doc__)
    parser.add_argument("before", type=Path, metavar="A.csv")
    parser.add_argument("after", type=Path, metavar="B.csv")
    parser.add_argument("--run-id", type=int, help="run id to compare (the last of each file)")
    arguments = parser.parse_args(argv)
    try:
        tables = compare(cells(arguments.before, arguments.run_id), cells(arguments.after, arguments.run_id))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    terminal.show(tables)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
