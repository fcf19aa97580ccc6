"""The table of docs/training.md, from the rows of the CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.full_steps.published import PUBLISHED
from benchmarks.full_steps.steps import Published
from benchmarks.gpu_report.targets import B200, H100

CPU = "CPU"
GPUS = (H100, B200)
DEVICES = (CPU, *(gpu.name for gpu in GPUS))
COLUMNS = (
    "name", "device", "grid", "run", "batch", "compile_s", "arguments_mb", "results_mb", "temp_mb", "total_mb", "step_s",
    "loss", "grad_norm", "calls", "other_launches", "note",
)  # fmt: skip
START, END = "<!-- full steps: python -m benchmarks.full_steps -->", "<!-- /full steps -->"
Rows = dict[tuple[str, str], Mapping[str, Any]]


def read(path: Path) -> Rows:
    """Rows of an earlier run, by name and device; none where there is no file."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {(row["name"], row["device"]): row for row in csv.DictReader(file)}


def markdown(rows: Rows, published: Iterable[Published] = PUBLISHED) -> str:
    """Of the configurations that have their rows for every device."""
    heading = ("", "batch", "step here", *(f"{gpu.name}, GB" for gpu in GPUS), "kernels of ours there")
    lines = ["| " + " | ".join(heading) + " |", "|---|---:|---|---:|---:|---|"]
    for one in published:
        of = [rows.get((one.name, device)) for device in DEVICES]
        cells = [_line(one, *(row for row in of if row is not None))] if None not in of else []
        lines += cells
    return "\n".join(lines)


def _line(one: Published, here: Mapping[str, Any], *there: Mapping[str, Any]) -> str:
    step = f"{here['batch']} samples, {float(here['step_s']):.1f} s, {float(here['total_mb']) / 1e3:.1f} GB"
    memory = [_memory(row, gpu.memory) for row, gpu in zip(there, GPUS)]
    calls = sorted({row["calls"] for row in there if row.get("calls")})
    cells = (f"{one.name} (`{one.run}`)", str(there[0]["batch"]), step, *memory, "; ".join(calls))
    return "| " + " | ".join(cells) + " |"


def _memory(row: Mapping[str, Any], memory: int) -> str:
    if row["note"]:
        return f"not compiled: {row['note']}"
    total = float(row["total_mb"]) * 1e6
    return f"{total / 1e9:.1f}" + ("" if total < memory else f", of {memory / 1e9:.0f}: does not fit")
