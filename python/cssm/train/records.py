"""What a run writes down: one JSON object a line, TensorBoard events, and Weights & Biases if asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOG = "metrics.jsonl"


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a log. A last line that a killed process left unfinished is not one.

    Raises:
      ValueError: another line is no JSON object.
    """
    records = []
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        if number == len(lines) and not line.endswith("\n"):
            break
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: expected a JSON object, got {line.strip()[:80]!r}") from error
    return records


class Records:
    """Writes `metrics.jsonl` and TensorBoard events into the directory of a run.

    Args:
      directory: of the run.
      resumed_at: step the run goes on from; what an earlier process wrote beyond it is dropped, for it comes again.
      arguments: of the run, for Weights & Biases.
      project: of Weights & Biases; None for none.
    """

    def __init__(
        self,
        directory: Path,
        resumed_at: int = 0,
        arguments: Mapping[str, Any] | None = None,
        project: str | None = None,
    ) -> None:
        from tensorboardX import SummaryWriter

        directory.mkdir(parents=True, exist_ok=True)
        path = directory / LOG
        kept = [record for record in read_records(path) if record["step"] <= resumed_at] if resumed_at else []
        whole = path.with_suffix(".tmp")
        whole.write_text("".join(json.dumps(record) + "\n" for record in kept))
        os.replace(whole, path)
        self._file = path.open("a", buffering=1)
        self._events = SummaryWriter(str(directory / "events"), purge_step=resumed_at + 1 if resumed_at else None)
        self._wandb: Any = None
        if project is not None:
            try:
                import wandb
            except ImportError as error:
                raise ImportError(
                    "Weights & Biases was asked for, and wandb is not installed: pip install wandb, or use --no_wandb"
                ) from error
            self._wandb = wandb.init(project=project, name=directory.name, config=dict(arguments or {}), resume="allow")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One record of a step."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(dict(values), step=step)

    def close(self) -> None:
        """Flush all."""
        self._file.close()
        self._events.close()
        if self._wandb is not None:
            self._wandb.finish()


class Silent:
    """Writes nothing: for the processes of a run but the first."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
