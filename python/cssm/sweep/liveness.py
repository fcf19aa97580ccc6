"""Whether a process of this host still lives, though its number may have been given to another since."""

from __future__ import annotations

import os
from pathlib import Path

CLOCK_SLACK = 2.0  # seconds: the kernel's time of boot is in whole ones


def is_alive(pid: int, since: float) -> bool:
    """Whether the process that had the number `pid` at the time `since` still runs, and is another than this one.

    A runner asks before it has claimed anything: what its own number claimed was claimed before it began.
    """
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    began = _began(pid)
    return began is None or began <= since + CLOCK_SLACK


def _began(pid: int) -> float | None:
    """When a process began, in seconds since the epoch; None where the system has no /proc."""
    try:
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, StopIteration):
        return None
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
