"""The log of a sweep's progress: lines of JSON, appended under a lock, the last of a name being its state.

Any number of processes, on any number of hosts that share the file, append to it. A line that a crash left unfinished is
dropped: what it said had not happened yet.
"""

from __future__ import annotations

import enum
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from cssm.sweep.liveness import is_alive


class Status(enum.StrEnum):
    """Of a run. One that the log does not name is PENDING."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Entry:
    """A line: a run's state, the host and process that runs it, its batch now, when it began and ended, its accuracy."""

    name: str
    status: Status
    host: str
    pid: int
    batch: int | None = None
    t0: float | None = None
    t1: float | None = None
    metric: float | None = None


FIELDS = tuple(field.name for field in fields(Entry))


class ProgressLog:
    """The log at `path`, made with its directory where there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread_lock = threading.Lock()  # a file's lock may be one for all threads of a process (on NFS)
        path.parent.mkdir(parents=True, exist_ok=True)

    def entries(self) -> dict[str, Entry]:
        """Last entries, by name.

        Raises:
          ValueError: a line that is not an entry.
        """
        with self._locked() as file:
            return self._read(file)

    def claim(self, runs: Iterable[tuple[str, int]]) -> Entry | None:
        """Marks the first PENDING run of (name, batch) RUNNING, here, and returns its entry; None where none is left.

        A run that is tried again goes on with the batch that it had been cut to: its checkpoint is of that batch.
        """
        with self._locked() as file:
            entries = self._read(file)
            for name, batch in runs:
                last = entries.get(name)
                if last is None or last.status is Status.PENDING:
                    batch = last.batch if last is not None and last.batch is not None else batch
                    claimed = Entry(name, Status.RUNNING, socket.gethostname(), os.getpid(), batch, time.time())
                    self._append(file, claimed)
                    return claimed
            return None

    def requeue(self, names: Collection[str], retry_failed: bool, dead_hosts: Collection[str] = ()) -> list[str]:
        """Marks PENDING again what died while RUNNING, and with `retry_failed` what FAILED; their names.

        A process of another host cannot be asked after: its runs are taken for dead where `dead_hosts` names the host.
        """
        with self._locked() as file:
            again = []
            for entry in self._read(file).values():
                if entry.name not in names:
                    continue
                failed = entry.status is Status.FAILED and retry_failed
                died = entry.status is Status.RUNNING and (entry.host in dead_hosts or _died(entry))
                if failed or died:
                    self._append(file, replace(entry, status=Status.PENDING))
                    again.append(entry.name)
            return again

    def append(self, entry: Entry) -> None:
        """Adds a line, on the disk when this returns."""
        with self._locked() as file:
            self._append(file, entry)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        with self._thread_lock:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file
            finally:
                os.close(file)

    def _read(self, file: int) -> dict[str, Entry]:
        content = os.pread(file, os.fstat(file).st_size, 0)
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.ftruncate(file, len(whole))
        entries = {}
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                record = json.loads(line)
                entry = Entry(**{**record, "status": Status(record["status"])})
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{self.path}: line {number}: got {line!r}, expected {', '.join(FIELDS)}") from error
            entries[entry.name] = entry
        return entries

    def _append(self, file: int, entry: Entry) -> None:
        line = json.dumps(asdict(entry)).encode() + b"\n"
        if os.write(file, line) < len(line):
            raise OSError(f"{self.path}: no room for another line")
        os.fsync(file)


def _died(entry: Entry) -> bool:
    return entry.host == socket.gethostname() and not is_alive(entry.pid, entry.t0 or 0.0)
