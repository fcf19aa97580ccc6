"""A table of a sweep's finished runs, from the logs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cssm.sweep import metrics
from cssm.sweep.grid import Value
from cssm.sweep.layout import Layout
from cssm.sweep.progress import ProgressLog, Status

COLUMNS = ("name", "parameters", "best_val_acc", "steps_per_second")


@dataclass(frozen=True)
class Result:
    """Of a finished run: its arguments, and what its log says; None is what the log does not say."""

    name: str
    args: Mapping[str, Value]
    parameters: int | None
    best_val_acc: float | None
    steps_per_second: float | None


def collect(root: Path) -> list[Result]:
    """The DONE runs of the sweep under `root`, in the order of their names.

    Raises:
      ValueError: no sweep was run there.
    """
    layout = Layout(root)
    if not layout.progress.exists():
        raise ValueError(f"got {str(root)!r}, expected the directory of a sweep, with {layout.progress.name}")
    arguments = layout.read_arguments()
    results = []
    for name, entry in sorted(ProgressLog(layout.progress).entries().items()):
        if entry.status is Status.DONE:
            read = metrics.read(layout.metrics(name))
            accuracy = entry.metric if entry.metric is not None else read.best_val_acc
            results.append(Result(name, arguments.get(name, {}), read.parameters, accuracy, read.steps_per_second))
    return results


def as_csv(results: Sequence[Result]) -> str:
    """The table as CSV, numbers in full; empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(result, column) for column in COLUMNS] for result in results)
    return text.getvalue()


def as_markdown(results: Sequence[Result]) -> str:
    """The table in Markdown, rounded."""
    lines = ["| run | parameters | best val acc | steps/s |", "|---|---:|---:|---:|"]
    for result in results:
        cells = (
            result.name,
            "" if result.parameters is None else f"{result.parameters:,}",
            "" if result.best_val_acc is None else f"{result.best_val_acc:.4f}",
            "" if result.steps_per_second is None else f"{result.steps_per_second:.3g}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
