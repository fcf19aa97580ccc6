"""The cells of one shape: compiled, checked against each other, timed interleaved, and turned into rows of the CSV."""

from __future__ import annotations

import datetime
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import cuda_events
from benchmarks.kernel_calls import kernel_calls
from benchmarks.mechanism import agreement, models
from benchmarks.mechanism.agreement import Result
from benchmarks.mechanism.budget import MEASURES, Budget, Refusal
from benchmarks.mechanism.options import Options
from benchmarks.mechanism.panels import SERIES, Group, Series
from benchmarks.mechanism.records import ERROR, MISMATCH, OK, Row, classify, worst
from benchmarks.timing import SETTLE_S, Counts, Task, Timing, affordable, grants, interleave, wished_s

LOOP_S = 0.1
"""Without CUDA events, device time is taken over a loop of about this length, of at most MAX_LOOP calls."""

MAX_LOOP = 100

LEAST_S = 0.4
"""Timed calls of a program may take this long even when the time is spent: short calls need not be single ones."""

HEARTBEAT_S = 0.5

Emit = Callable[..., None]
Verdicts = dict[str, tuple[str, str]]
"""By series: status and reason."""


@dataclass
class Measure:
    """One program of a cell: forward, or forward and backward. `timed` is the same work as device time is taken of."""

    status: str = OK
    note: str = ""
    program: models.Program | None = None
    timed: models.Program | None = None
    timed_calls: int = 1
    call_s: float = 0.0
    wall: Timing | None = None
    device: Timing | None = None

    def fail(self, status: str, note: str) -> None:
        """Take no time, and free what was compiled."""
        self.status, self.note, self.program, self.timed = status, note, None, None


@dataclass
class Cell:
    """One series at one shape."""

    series: Series
    params: Any = None
    n_params: int = 0
    measures: dict[str, Measure] = field(default_factory=lambda: {name: Measure() for name in MEASURES})
    check: agreement.Check | None = None


class GroupRun:
    """Measures the cells of one group, interleaved."""

    def __init__(self, group: Group, options: Options, budget: Budget, end: float, emit: Emit) -> None:
        self.group, self.options, self.budget, self.end, self.emit = group, options, budget, end, emit
        self.images = models.images(group.shape, options, random=False)
        self.probe_images = models.images(group.shape, options, random=True)
        self.cells = {key: Cell(SERIES[key]) for key in group.series}
        self.results: dict[str, Result] = {}
        self.events = cuda_events.clock()

    def run(self, parameters: models.Parameters, verdicts: Verdicts, allocator: str) -> None:
        """Prepare, check and time every cell."""
        for key, cell in self.cells.items():
            if key in verdicts:
                for measure in cell.measures.values():
                    measure.fail(*verdicts[key])
                continue
            self._guarded(cell, MEASURES, partial(self._initialise, cell, parameters))
            for name in MEASURES:
                self._guarded(cell, (name,), partial(self._prepare, cell, name))
        self._check(allocator)
        self._time()

    def _guarded(self, cell: Cell, names: tuple[str, ...], step: Callable[[], None]) -> None:
        """Run a step; what it raises becomes the status of these measures."""
        key = cell.series.key
        if any(cell.measures[name].status != OK for name in names):
            return
        try:
            step()
        except Exception as error:
            status = classify(error)
            if status == ERROR:
                traceback.print_exc()
            text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            for name in names:
                cell.measures[name].fail(status, text)
                self.budget.give_up(key, name, self.group.shape, status, text)
                self.emit("give_up", series=key, measure=name, shape=self.group.shape, status=status, reason=text)

    def _refusal(self, cell: Cell, name: str) -> Refusal | None:
        """sCSSM may use up the run's time, the others no more than the cell budget and their group's time."""
        core = cell.series.core
        end = self.budget.deadline if core else self.end
        return self.budget.refusal(cell.series.key, name, self.group.shape, end, limited=not core)

    def _initialise(self, cell: Cell, parameters: models.Parameters) -> None:
        if all(self._refusal(cell, name) for name in MEASURES):
            return
        self.emit("stage", series=cell.series.key, measure="fwd", shape=self.group.shape, stage="initialise")
        cell.params = parameters.initial(cell.series, self.group.shape)
        cell.n_params = models.count(cell.params)

    def _prepare(self, cell: Cell, name: str) -> None:
        """Compile a program, run it once on noise for the check and, unless that took long, once more for its time."""
        key, measure, shape = cell.series.key, cell.measures[name], self.group.shape
        refusal = self._refusal(cell, name)
        if refusal:
            measure.fail(*refusal)
            return
        self.emit("stage", series=key, measure=name, shape=shape, stage="compile")
        apply = models.forward(cell.series, shape, self.options)
        function = apply if name == "fwd" else models.gradient(apply)
        measure.program = program = models.Program(function, cell.params, self.images)
        if cuda_events.on_cuda() and cell.series.impl in ("native", "unfused") and not kernel_calls(program.compiled):
            measure.note = "XLA's program: no kernel of ours was called"
        self.emit("stage", series=key, measure=name, shape=shape, stage="first call")
        start = time.perf_counter()
        out = program(models.randomised(cell.params), self.probe_images)
        measure.call_s = time.perf_counter() - start
        result = self.results.setdefault(key, Result())
        if name == "fwd":
            result.out = np.asarray(out, np.float32)
        else:
            result.grads = models.to_numpy(out)
        del out
        spent = program.build_s + 2 * measure.call_s
        if measure.call_s > self.budget.cell_s / 2:
            measure.wall, measure.note = Timing([[measure.call_s]]), "a single call, not warmed up"
        elif measure.call_s < self.budget.cell_s / 4:
            start = time.perf_counter()
            finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(program(cell.params, self.images)))
            measure.call_s = time.perf_counter() - start
            if not finite:
                measure.note = "result not finite"
        if measure.call_s <= self.options.loop_below:
            self.emit("stage", series=key, measure=name, shape=shape, stage="compile for device time")
            if self.events is not None:
                timed = cuda_events.bracketed(function)
            else:
                timed = (models.forward_loop if name == "fwd" else models.gradient_loop)(apply)
                measure.timed_calls = max(1, min(MAX_LOOP, int(LOOP_S / max(measure.call_s, 1e-6))))
            measure.timed = models.Program(timed, cell.params, self.images, *self._loop_arguments(1))
            spent += measure.timed.build_s
        self.budget.record(key, name, shape, spent)
        self.emit("cost", series=key, measure=name, shape=shape, seconds=spent)

    def _loop_arguments(self, calls: int) -> tuple[Any, ...]:
        return () if self.events is not None else (jnp.float32(0.0), jnp.int32(calls))

    def _check(self, allocator: str) -> None:
        checks = agreement.compare(
            self.results, "timed programs on noise", self.group.shape.T, self.options.dtype, allocator
        )
        for check in checks:
            self.cells[check.member].check = check
            self.emit("check", check=check.to_json())
        for key, reason in agreement.condemned(checks).items():
            if key in self.cells:
                for measure in self.cells[key].measures.values():
                    measure.fail(MISMATCH, reason)
        self.results.clear()

    def _tasks(self) -> dict[tuple[str, str, str], Task]:
        """What is timed, as often as the group's allowance permits."""
        options, calls, seconds, tasks = self.options, {}, {}, {}
        plan = {"warmup": options.warmup, "repeats": options.repeats, "retries": options.retries}
        for key, cell in self.cells.items():
            for name, measure in cell.measures.items():
                if measure.program is not None and measure.wall is None:
                    calls[key, name, "wall"] = (measure, plan)
                    seconds[key, name, "wall"] = measure.call_s
                if measure.timed is not None:
                    once = {"warmup": 1, "repeats": 1, "retries": options.retries}
                    calls[key, name, "device"] = (measure, once if self.events is None else plan)
                    seconds[key, name, "device"] = measure.call_s * measure.timed_calls
        wishes = {task: min(self.budget.cell_s, wished_s(seconds[task], **wish)) for task, (_, wish) in calls.items()}
        shares = grants(wishes, self.end - time.time())
        for task, (measure, wish) in calls.items():
            counts = affordable(seconds[task], max(shares[task], LEAST_S), **wish)
            tasks[task] = self._task(self.cells[task[0]], measure, task[2], counts)
        return tasks

    def _task(self, cell: Cell, measure: Measure, kind: str, counts: Counts) -> Task:
        if kind == "device":
            assert measure.timed is not None
            timed, arguments = measure.timed, self._loop_arguments(measure.timed_calls)
            call = partial(timed, cell.params, self.images, *arguments)
            if self.events is not None:
                return Task(self.events.counting(cuda_events.after(call)), **counts._asdict(), clock=self.events)
            return Task(call, **counts._asdict(), calls=measure.timed_calls)
        assert measure.program is not None
        program, settle = measure.program, measure.call_s < SETTLE_S
        return Task(lambda: program(cell.params, self.images), settle=settle, **counts._asdict())

    def _time(self) -> None:
        last = 0.0
        shape = self.group.shape

        def before_call(task: tuple[str, str, str]) -> None:
            nonlocal last
            long = self.cells[task[0]].measures[task[1]].call_s > HEARTBEAT_S
            if long or time.time() - last > HEARTBEAT_S:
                last = time.time()
                self.emit("stage", series=task[0], measure=task[1], shape=shape, stage="timing")

        for (key, name, kind), timing in interleave(self._tasks(), before_call=before_call).items():
            if kind == "wall":
                self.cells[key].measures[name].wall = timing
            else:
                self.cells[key].measures[name].device = timing


def rows(run: GroupRun, options: Options, allocator: str, facts: dict[str, Any]) -> list[Row]:
    """The CSV rows of a measured group: one for each panel that shows the cell."""
    shape, measured_at = run.group.shape, datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    result = []
    for key, panels in zip(run.group.series, run.group.panels, strict=True):
        cell = run.cells[key]
        fwd, bwd = (cell.measures[name] for name in MEASURES)
        row = Row(
            run_id=options.run_id, cssm_type=cell.series.cssm_type, name=cell.series.name, H=shape.H, N=shape.H**2,
            T_video=shape.T, embed_dim=shape.C, depth=options.depth, kernel_size=shape.K, batch=options.batch,
            params=cell.n_params, status=worst(fwd.status, bwd.status), backend=facts["backend"],
            device=facts["device"], jax=facts["jax"], impl=cell.series.impl, status_fwd=fwd.status,
            status_bwd=bwd.status, allocator=allocator,
            dtype=options.dtype, input=options.input, frame_readout=options.frame_readout, measured_at=measured_at,
            note="; ".join(f"{name}: {m.note}" for name, m in cell.measures.items() if m.note),
        )  # fmt: skip
        for name, measure in cell.measures.items():
            _fill(row, name, measure)
        programs = [measure.program for measure in (fwd, bwd) if measure.program is not None]
        if programs:
            row.peak_mb = max(program.peak_mb for program in programs)
            row.compile_s = sum(program.compile_s for program in programs)
        if cell.check is not None:
            row.compared_with, row.out_rel_err = cell.check.reference, cell.check.out_rel_err
            row.grad_rel_err = cell.check.grad_rel_err
        for panel in panels:
            result.append(Row(**{**asdict(row), "panel": panel}))
    return result


def _fill(row: Row, name: str, measure: Measure) -> None:
    if measure.program is None or measure.wall is None:
        return
    wall = measure.wall
    columns = {
        f"{name}_ms": wall.median * 1e3,
        f"{name}_ms_min": wall.low * 1e3,
        f"{name}_ms_max": wall.high * 1e3,
        f"{name}_ms_best": wall.best * 1e3,
        f"{name}_calls": sum(len(samples) for samples in wall.retries),
        f"{name}_peak_mb": measure.program.peak_mb,
        f"{name}_compile_s": measure.program.compile_s,
    }
    if measure.device is not None:
        columns["fwd_dev_ms" if name == "fwd" else "bwd_dev_ms"] = measure.device.median * 1e3
    for column, value in columns.items():
        setattr(row, column, value)
