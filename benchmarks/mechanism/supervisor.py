"""Runs the workers: one process for each allocator setting, replaced when a cell hangs or kills it.

malloc reads its settings when a process starts, hence a process of its own for each; and a call into XLA cannot be
interrupted, hence a supervisor outside it. All knowledge (costs, series given up, verdicts of the layer check) is kept
here and handed to the next worker.
"""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks import environment, platforms
from benchmarks.mechanism import panels
from benchmarks.mechanism.budget import MEASURES, Budget, part_of_time, weight
from benchmarks.mechanism.options import Options
from benchmarks.mechanism.panels import SERIES, Group, Shape
from benchmarks.mechanism.records import ERROR, OOM, SKIPPED, TIMEOUT, Key, Row

WORKER = (sys.executable, "-m", "benchmarks.mechanism.worker")
WITHOUT_COMPILATION = 0.5
"""Cost of a pass that finds its programs compiled, relative to one that does not."""

START_UP_S = 60.0
"""Silence allowed besides the cell time-out while a worker starts."""


class WorkerLost(Exception):
    """A worker died before it did anything."""


class MissingLayers(Exception):
    """A panel was asked for whose layers are not built."""


@dataclass
class Outcome:
    """What a run has learnt besides its rows."""

    environment: dict[str, Any] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    verdicts: dict[str, tuple[str, str]] | None = None

    @property
    def failed(self) -> bool:
        """Whether any check was violated."""
        verdicts = (self.verdicts or {}).values()
        return any(status != SKIPPED for status, _ in verdicts) or any(c["status"] == "fail" for c in self.checks)


@dataclass
class Supervisor:
    """Measures what `options` asks for.

    Attributes:
      options: the run.
      reusable: cells that need not be measured again.
      on_row: called with each row as it is measured.
      on_stage: called with what a worker is doing.
      worker: command line of the worker.
    """

    options: Options
    reusable: set[Key]
    on_row: Callable[[Row], None]
    on_stage: Callable[[str], None]
    worker: tuple[str, ...] = WORKER
    outcome: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        self.cache = tempfile.TemporaryDirectory(prefix="mechanism-programs-")
        self.budget = Budget(self.options.cell_budget, time.time() + self.options.budget)

    def run(self) -> Outcome:
        """Measure all groups under all allocator settings.

        Raises:
          MissingLayers: a panel needs layers that are not built.
          WorkerLost: a worker dies without doing anything.
        """
        plans = {allocator: self.pending(allocator) for allocator in self.options.allocators}
        weights = {allocator: sum(map(weight, groups)) for allocator, groups in plans.items()}
        for allocator in self.options.allocators[1:]:
            weights[allocator] *= WITHOUT_COMPILATION
        with self.cache:
            self._run_plans(plans, weights)
        return self.outcome

    def _run_plans(self, plans: dict[str, list[Group]], weights: dict[str, float]) -> None:
        for allocator, groups in plans.items():
            deadline = part_of_time(weights.pop(allocator), weights.values(), self.budget.deadline)
            while groups:
                groups = groups[self._work(allocator, groups, deadline) :]

    def pending(self, allocator: str) -> list[Group]:
        """Groups of one allocator setting without the cells that are reused."""
        result = []
        for group in panels.groups(self.options, allocator):
            kept = [
                (series, shown)
                for series, shown in zip(group.series, group.panels, strict=True)
                if not {self._key(group.shape, series, panel, allocator) for panel in shown} <= self.reusable
            ]
            if kept:
                result.append(Group(group.shape, *(tuple(part) for part in zip(*kept, strict=True))))
        return result

    def _key(self, shape: Shape, series: str, panel: str, allocator: str) -> Key:
        options = self.options
        return Key(
            panel=panel, cssm_type=SERIES[series].cssm_type, impl=SERIES[series].impl, H=shape.H, embed_dim=shape.C,
            T_video=shape.T, depth=options.depth, kernel_size=shape.K, batch=options.batch, dtype=options.dtype,
            input=options.input, frame_readout=options.frame_readout, allocator=allocator,
        )  # fmt: skip

    def _work(self, allocator: str, groups: list[Group], deadline: float) -> int:
        """Run one worker over the groups; returns how many it finished."""
        job = {
            "options": self.options.to_json(),
            "allocator": allocator,
            "groups": [asdict(group) for group in groups],
            "budget": {**self.budget.to_json(), "deadline": deadline},
            "verdicts": self.outcome.verdicts,
            "compilation_cache": self.cache.name,
        }
        finished, stage = 0, None
        variables = environment.with_allocator(allocator) | platforms.VARIABLES[self.options.platform]
        with _Worker(self.worker, variables, job) as worker:
            while True:
                event = worker.next_event(self.options.cell_timeout + (0.0 if stage else START_UP_S))
                kind = event["event"]
                if kind == "stage":
                    stage = event
                    self.on_stage(
                        f"{allocator} T={event['shape'][2]} {event['series']} {event['measure']}: {event['stage']}"
                    )
                elif kind == "rows":
                    finished += 1
                    for values in event["rows"]:
                        self.on_row(Row(**values))
                elif kind == "done":
                    return finished
                elif kind in ("timeout", "died"):
                    self._blame(kind, event, stage)
                    return finished
                else:
                    self._learn(kind, event)

    def _learn(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "hello":
            self.outcome.environment.update(event["environment"])
        elif kind == "check":
            self.outcome.checks.append(event["check"])
        elif kind == "verdicts":
            self.outcome.verdicts = event["verdicts"]
        elif kind == "cost":
            self.budget.record(event["series"], event["measure"], Shape(*event["shape"]), event["seconds"])
        elif kind == "give_up":
            shape = Shape(*event["shape"])
            self.budget.give_up(event["series"], event["measure"], shape, event["status"], event["reason"])
        elif kind == "missing":
            wanted = ", ".join(self.options.panels)
            reasons = "; ".join(event["layers"].values())
            raise MissingLayers(f"--panels is {wanted}, which needs layers that are not built: {reasons}")
        else:
            raise RuntimeError(f"the worker sent the event {kind!r}; expected one of this version")

    def _blame(self, kind: str, event: dict[str, Any], stage: dict[str, Any] | None) -> None:
        """Charge the end of a worker to the program it was busy with."""
        if stage is None:
            raise WorkerLost(f"the worker ended before it began ({event['reason']}); its messages are above")
        if kind == "timeout":
            status = TIMEOUT
        else:
            status = OOM if event["returncode"] == -signal.SIGKILL else ERROR
        reason = f"{stage['stage']}: {event['reason']}"
        shape, name = Shape(*stage["shape"]), "check" if stage["stage"] == "layer check" else stage["measure"]
        self.budget.give_up(stage["series"], name, shape, status, reason)
        if name == MEASURES[0]:
            self.budget.give_up(stage["series"], MEASURES[1], shape, status, f"not tried, as fwd: {reason}")


class _Worker:
    """A worker process and the queue of its events."""

    def __init__(self, command: Iterable[str], variables: dict[str, str], job: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=variables,
        )
        assert self.process.stdin is not None
        self.events: queue.Queue[str | None] = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            self.process.stdin.write(json.dumps(job))
            self.process.stdin.close()
        except BrokenPipeError:
            pass

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.put(line)
        self.events.put(None)

    def next_event(self, timeout: float) -> dict[str, Any]:
        """The next event; `timeout` after silence, `died` when the process is gone."""
        try:
            line = self.events.get(timeout=timeout)
        except queue.Empty:
            return {"event": "timeout", "reason": f"no end after {timeout:.0f} s"}
        if line is None:
            code = self.process.wait()
            reason = f"worker killed by {signal.Signals(-code).name}" if code < 0 else f"worker exited with {code}"
            return {"event": "died", "reason": reason, "returncode": code}
        return json.loads(line)

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join(timeout=5)
        assert self.process.stdout is not None
        self.process.stdout.close()
