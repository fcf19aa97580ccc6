"""Where a sweep keeps what it makes, under one directory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cssm.sweep.grid import Run, Value


@dataclass(frozen=True)
class Layout:
    """Of the directory `root`."""

    root: Path

    @property
    def progress(self) -> Path:
        """The log of progress."""
        return self.root / "progress.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The trainer's `--checkpoint_dir`: a directory for each run."""
        return self.root / "runs"

    @property
    def jobs(self) -> Path:
        """What submitit keeps."""
        return self.root / "jobs"

    @property
    def arguments(self) -> Path:
        """The arguments of each run, as JSON."""
        return self.root / "arguments.json"

    def output(self, name: str) -> Path:
        """The file of what a run printed."""
        return self.root / "logs" / f"{name}.log"

    def metrics(self, name: str) -> Path:
        """The log of the trainer."""
        return self.checkpoints / name / "metrics.jsonl"

    def set_aside(self, name: str, batch: int) -> None:
        """Moves what a run has made with a batch out of the way of the same run with another."""
        made = self.checkpoints / name
        if made.exists():
            place = self.root / "abandoned" / f"{name}-batch{batch}-{time.time_ns()}"
            place.parent.mkdir(exist_ok=True)
            made.rename(place)

    def write_arguments(self, runs: Iterable[Run], finished: Collection[str]) -> None:
        """Adds the arguments of `runs`; those of `finished` runs stay as they were. Whole at any moment."""
        arguments = self.read_arguments()
        for run in runs:
            if run.name not in finished or run.name not in arguments:
                arguments[run.name] = dict(run.args)
        self.root.mkdir(parents=True, exist_ok=True)
        new = self.arguments.with_suffix(f".{os.uname().nodename}.{os.getpid()}")
        new.write_text(json.dumps(arguments, indent=1), encoding="utf-8")
        new.replace(self.arguments)

    def read_arguments(self) -> dict[str, Mapping[str, Value]]:
        """The arguments by name; none where no sweep was run."""
        if not self.arguments.exists():
            return {}
        arguments: dict[str, Mapping[str, Value]] = json.loads(self.arguments.read_text(encoding="utf-8"))
        return arguments
