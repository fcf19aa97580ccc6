"""Runs a sweep's commands here, one a device.

Every change of state is on the disk before the next thing happens, so that a runner that dies, by SIGKILL or with its
machine, is followed by another that goes on from there: see `cssm.sweep.progress`. A run that runs out of memory is run
again, from its start, with half the batch, which it accumulates to the one it had.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from cssm.sweep import child, metrics
from cssm.sweep.grid import Run, Sweep
from cssm.sweep.layout import Layout
from cssm.sweep.progress import Entry, ProgressLog, Status

OUT_OF_MEMORY = re.compile(rb"out of memory|RESOURCE_EXHAUSTED|\boom\b|cuda error.*memory", re.IGNORECASE)
CAN_GO_ON = 75  # EX_TEMPFAIL: a trainer that was told to stop, by whomever, and goes on from its checkpoint
POLL = 0.1  # seconds between looks at a child and at its output


@dataclass(frozen=True)
class Site:
    """What is of this machine and not of the grid.

    Attributes:
      root: the directory of the sweep's log and of its runs.
      paths: of `${name}` in arguments.
      grace: seconds between SIGTERM and SIGKILL, for a trainer to save.
    """

    root: Path
    paths: Mapping[str, str] = field(default_factory=dict)
    grace: float = 60.0


@dataclass(frozen=True)
class Totals:
    """How many runs a runner completed, saw fail, and was stopped in; the rest was done before, or is another's."""

    done: int
    failed: int
    interrupted: int


class Runner:
    """Runs of one sweep on this host.

    Args:
      sweep: the grid.
      site: of this machine.
      echo: whether the output of a run is printed, beside its log.

    Raises:
      ValueError: a command that is not found, or an argument's path that `site` does not give.
    """

    def __init__(self, sweep: Sweep, site: Site, echo: bool = True) -> None:
        self.sweep = sweep
        self.site = site
        self._check()
        self.layout = Layout(site.root.absolute())
        self.log = ProgressLog(self.layout.progress)
        self._echo = echo
        self._stopping = threading.Event()
        self._released: set[str] = set()  # stopped by somebody else: for the next runner

    def prepare(self, retry_failed: bool = True, dead_hosts: Sequence[str] = ()) -> list[str]:
        """What comes before the first run: what died is PENDING again, and what FAILED; their names."""
        again = self.log.requeue([run.name for run in self.sweep.runs], retry_failed, dead_hosts)
        done = {name for name, entry in self.log.entries().items() if entry.status is Status.DONE}
        self.layout.write_arguments(self.sweep.runs, done)
        return again

    def run(self, devices: Sequence[str | None] = (None,)) -> Totals:
        """Runs what is PENDING, one run on each of `devices` at a time, until nothing is.

        A device is the value of CUDA_VISIBLE_DEVICES; None leaves it as it is. SIGINT and SIGTERM stop the runs, which stay
        PENDING, where this is called from the main thread.
        """
        with _on_signals(self.stop), ThreadPoolExecutor(len(devices)) as workers:
            states = [state for states in workers.map(self._work, devices) for state in states]
        return Totals(*(states.count(status) for status in (Status.DONE, Status.FAILED, Status.PENDING)))

    def run_one(self, name: str) -> Status | None:
        """Runs the run of that name; None where it is not PENDING."""
        run = next(run for run in self.sweep.runs if run.name == name)
        entry = self.log.claim([(run.name, run.batch)])
        return None if entry is None else self._execute(run, entry, None)

    def stop(self) -> None:
        """Stops the runs, from any thread or a signal's handler."""
        self._stopping.set()

    def _work(self, device: str | None) -> list[Status]:
        runs = {run.name: run for run in self.sweep.runs}
        states = []
        try:
            while not self._stopping.is_set():
                entry = self.log.claim((run.name, run.batch) for run in runs.values() if run.name not in self._released)
                if entry is None:
                    break
                states.append(self._execute(runs[entry.name], entry, device))
        except BaseException:
            self.stop()  # the other devices' workers too: what this is, a full disk say, is not of one run
            raise
        return states

    def _execute(self, run: Run, entry: Entry, device: str | None) -> Status:
        """A claimed run until it is DONE, FAILED, or PENDING as it was interrupted."""
        status = Status.PENDING
        try:
            status, entry = self._attempts(run, entry, device)
        finally:
            metric = metrics.read(self.layout.metrics(run.name)).best_val_acc if status is Status.DONE else None
            self.log.append(replace(entry, status=status, t1=time.time(), metric=metric))
            self._say(f"{run.name} {status}" + (f" {metric:.4f}" if metric is not None else ""))
        return status

    def _attempts(self, run: Run, entry: Entry, device: str | None) -> tuple[Status, Entry]:
        while True:
            assert entry.batch is not None  # claimed
            self._say(f"{run.name} {shlex.join(command(self.sweep, self.site, run, entry.batch))}")
            code, out_of_memory = self._attempt(run, entry.batch, device)
            if self._stopping.is_set():  # whatever the code: a trainer that was told to stop may say that all is well
                return Status.PENDING, entry
            if code == CAN_GO_ON:
                self._released.add(run.name)
                return Status.PENDING, entry
            if code == 0:
                return Status.DONE, entry
            half, rest = divmod(entry.batch, 2)
            if not out_of_memory or rest or half < self.sweep.floor:
                self._say(f"{run.name} ended with {code}; see {self.layout.output(run.name)}")
                return Status.FAILED, entry
            self.layout.set_aside(run.name, entry.batch)  # a checkpoint of another batch
            entry = replace(entry, batch=half, t0=time.time())
            self.log.append(entry)

    def _attempt(self, run: Run, batch: int, device: str | None) -> tuple[int, bool]:
        """One child's exit code, and whether it ran out of memory."""
        command_line = command(self.sweep, self.site, run, batch)
        env = os.environ if device is None else {**os.environ, "CUDA_VISIBLE_DEVICES": device}
        path = self.layout.output(run.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as output, path.open("rb") as printed:
            output.write(f"$ {shlex.join(command_line)}\n".encode())
            output.flush()
            printed.seek(0, os.SEEK_END)
            begin = printed.tell()
            process = child.start(command_line, output, env)
            try:
                self._follow(process, printed)
            finally:
                child.stop(process, self.site.grace)
            printed.seek(begin)
            return process.returncode, OUT_OF_MEMORY.search(printed.read()) is not None

    def _follow(self, process: subprocess.Popen[bytes], printed: BinaryIO) -> None:
        """Until the child ends or is to be stopped, prints what it prints."""
        while not self._stopping.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL)
            ended = process.returncode is not None
            self._print(printed.read())
            if ended:
                return

    def _print(self, output: bytes) -> None:
        if self._echo and output:
            sys.stdout.buffer.write(output)
            sys.stdout.buffer.flush()

    def _say(self, text: str) -> None:
        print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)

    def _check(self) -> None:
        for word in words(self.sweep.command):
            if word.endswith(".py") and not Path(word).is_file():
                raise ValueError(f"command: got {word!r}, which is not found; expected a file")
        program = words(self.sweep.command)[0]
        if shutil.which(program) is None:
            raise ValueError(f"command: got {program!r}, which is not found; expected a program")
        missing = sorted(set().union(*(run.placeholders() for run in self.sweep.runs)) - self.site.paths.keys())
        if missing:
            expected = " ".join(f"{name}=PATH" for name in missing)
            raise ValueError(f"paths: got {dict(self.site.paths)!r}, expected also {expected}")


def command(sweep: Sweep, site: Site, run: Run, batch: int) -> list[str]:
    """The command of a run with a batch, accumulated to the batch of its grid."""
    accumulation = ["--grad_accum", str(run.batch // batch)] if batch < run.batch else []
    return [
        *words(sweep.command),
        *run.flags(site.paths),
        *("--batch_size", str(batch), *accumulation),
        *("--run_name", run.name, "--checkpoint_dir", str(Layout(site.root.absolute()).checkpoints)),
    ]


def words(trainer: Sequence[str]) -> list[str]:
    """A grid's command for this interpreter: its `cssm` and `python` are the ones that run this."""
    first, *rest = trainer
    if first == "cssm":
        return [sys.executable, "-m", "cssm", *rest]
    return [sys.executable if first == "python" else first, *rest]


@contextlib.contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM call `stop`; elsewhere than in the main thread, which alone takes signals, nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop()) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before):
            signal.signal(number, handler)
