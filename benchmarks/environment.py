"""Where a measurement was taken. Does not import jax."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).parents[1]

_TUNED = {"MALLOC_MMAP_THRESHOLD_": "8589934592", "MALLOC_TRIM_THRESHOLD_": "17179869184"}

ALLOCATORS = MappingProxyType(
    {
        "default": {},
        "tuned": _TUNED,
        "one_arena": {**_TUNED, "MALLOC_ARENA_MAX": "1"},
    }
)
"""malloc settings. `tuned` keeps glibc from mapping fresh, page-faulting memory for every large output, but only in its
main arena: the heaps of the others end at 64 MB, beyond which threads that use them map afresh. `one_arena` has one.
"""


def with_allocator(name: str) -> dict[str, str]:
    """Environment of a process under one of ALLOCATORS: malloc reads its settings when a process starts.

    Raises:
      ValueError: unknown name.
    """
    if name not in ALLOCATORS:
        raise ValueError(f"allocator is {name!r}; expected one of {', '.join(ALLOCATORS)}")
    inherited = {key: value for key, value in os.environ.items() if key not in ALLOCATORS["one_arena"]}
    path = os.pathsep.join([str(ROOT), str(ROOT / "python"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**inherited, **ALLOCATORS[name], "PYTHONPATH": path}


def cpu_model() -> str:
    """Name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def git_commit() -> str | None:
    """Commit of the checkout, with '+' where files differ from it; None outside a repository."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True, timeout=10)
    return done.stdout.strip()


def describe() -> dict[str, Any]:
    """Processor, memory, system, python, commit and date."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return {
        "cpu": cpu_model(),
        "cores": cores,
        "memory_gb": round(pages / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "git_commit": git_commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }
