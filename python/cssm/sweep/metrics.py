"""What a trainer's `metrics.jsonl` says of a run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Metrics:
    """Parameters, the best validation accuracy, and steps a second (of the median step); None where the log has none."""

    parameters: int | None = None
    best_val_acc: float | None = None
    steps_per_second: float | None = None


def read(path: Path) -> Metrics:
    """The metrics of a log; all None where there is no file."""
    parameters = stated = best = None
    milliseconds = []
    for record in _records(path):
        parameters = record.get("num_params", parameters)
        stated = record.get("best_val_acc", stated)
        if "val/acc" in record:
            best = record["val/acc"] if best is None else max(best, record["val/acc"])
        if "timing/step_ms" in record:
            milliseconds.append(record["timing/step_ms"])
    speed = 1e3 / statistics.median(milliseconds) if milliseconds else None
    return Metrics(parameters, best if stated is None else stated, speed)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Its objects. A line that is none was cut short by a crash, where a resumed run goes on."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(record, dict):
                yield record
