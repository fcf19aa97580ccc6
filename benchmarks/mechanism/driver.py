"""Measures what the command line asks for, writes the CSV as it goes and everything made of it at the end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import environment
from benchmarks.documents import write_json
from benchmarks.mechanism import figure, page, records, terminal
from benchmarks.mechanism.options import Options, parse
from benchmarks.mechanism.records import OK, Row
from benchmarks.mechanism.supervisor import WORKER, MissingLayers, Outcome, Supervisor, WorkerLost
from benchmarks.mechanism.tables import check_table, gap_table, main_tables, views

EXIT_OK, EXIT_WRONG_RESULT, EXIT_USAGE = 0, 1, 2


def main(argv: list[str] | None = None, worker: tuple[str, ...] = WORKER) -> int:
    """Entry point.

    Args:
      argv: command line.
      worker: command line of the worker processes.

    Returns:
      0; 1 if a check was violated or a cell failed with an error; 2 for a command line that cannot be followed.
    """
    options = parse(argv)
    try:
        if options.from_csv is not None:
            return _render_only(options, options.from_csv)
        outcome = _measure(options, worker)
    except (MissingLayers, ValueError) as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    except WorkerLost as error:
        print(error, file=sys.stderr)
        return EXIT_WRONG_RESULT
    rows = records.latest(records.read(options.csv), options.run_id)
    state = {
        "options": options.to_json(),
        "environment": {**environment.describe(), **outcome.environment, "allocators": dict(environment.ALLOCATORS)},
        "checks": outcome.checks,
    }
    _render(options, rows, state)
    wrong = outcome.failed or any(row.status in (records.MISMATCH, records.ERROR) for row in rows)
    return EXIT_WRONG_RESULT if wrong else EXIT_OK


def _measure(options: Options, worker: tuple[str, ...]) -> Outcome:
    reusable = set()
    keeps = options.csv.exists() and (options.resume or options.append)
    if keeps:
        records.check_appendable(options.csv)
        if options.resume:
            known = records.latest(records.read(options.csv), options.run_id)
            reusable = {row.key for row in known if row.status == OK}
    else:
        records.start(options.csv)

    def on_row(row: Row) -> None:
        records.append(options.csv, row)
        reporter.row(row)

    supervisor = Supervisor(options, reusable, on_row, lambda text: reporter.stage(text), worker)
    total = sum(
        len(shown) for name in options.allocators for group in supervisor.pending(name) for shown in group.panels
    )
    with terminal.Reporter(total) as reporter:
        return supervisor.run()


def _render_only(options: Options, path: Path) -> int:
    rows = records.latest(records.read(path))
    beside = path.with_suffix(".json")
    state: dict[str, Any] = json.loads(beside.read_text()) if beside.exists() else {}
    _render(
        options,
        rows,
        {name: state.get(name, {}) for name in ("options", "environment")} | {"checks": state.get("checks", [])},
    )
    return EXIT_OK


def _render(options: Options, rows: list[Row], state: dict[str, Any]) -> None:
    """Write JSON, figures and page, and print the tables."""
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    shown = views(rows)
    tables = [table for view in shown for table in main_tables(view)]
    document = {
        **state,
        "rows": [vars(row) for row in rows],
        "tables": [{**vars(table), "lines": [vars(line) for line in table.lines]} for table in tables],
    }
    write_json(out / "mechanism.json", document)
    for view in shown:
        suffix = "" if view is shown[0] else f"_{view.panel}_{view.allocator}"
        figure.save(figure.times(view), out / f"mechanism{suffix}.png")
        if options.fig is not None:
            figure.save(figure.times(view), options.fig.with_name(options.fig.stem + suffix + ".pdf"))
    page.write(out / "mechanism.html", rows, state)
    terminal.show([*tables, check_table(state["checks"]), gap_table(rows)])
    print(
        f"written: {options.csv if options.from_csv is None else options.from_csv}, {out}/mechanism.{{json,png,html}}"
    )
