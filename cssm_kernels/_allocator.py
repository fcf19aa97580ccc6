"""malloc settings for programs that make large arrays."""

from __future__ import annotations

import os
import platform
import sys
from types import MappingProxyType

from cssm_kernels import _native

TUNED_ENVIRONMENT = MappingProxyType(
    {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": str(1 << 33),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
        "MALLOC_TOP_PAD_": str(1 << 28),
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }
)
"""glibc's settings for programs of large arrays: one heap that is never given back, on huge pages where the system has them.
malloc reads them when a process starts."""


def tune_host_allocator() -> bool:
    """Keep this process's large arrays on memory it already has.

    XLA allocates results and temporaries afresh at each call. By default glibc maps the large ones from the system and gives
    them back, so that every call pays for fresh pages. This sets M_MMAP_MAX to 0, M_TRIM_THRESHOLD to -1 and M_ARENA_MAX to
    1, by mallopt(3), for the rest of the process: memory once used is kept, and reused. A program's footprint becomes its
    peak.

    It reaches what is allocated from the main heap: the results of our kernels, as a rule. Threads that got a heap of their
    own before, as NumPy's do on import, keep it and share it with threads to come, and such a heap ends at 64 MB: beyond,
    those threads map afresh whatever is set here. `restart_with_tuned_allocator` reaches them.

    Returns:
      Whether the settings were taken: False where malloc is not glibc's.

    Raises:
      ImportError: the native library was not built.
    """
    return _native.load().tune_host_allocator()


def restart_with_tuned_allocator() -> None:
    """Run the program anew, from its first line, with `TUNED_ENVIRONMENT`: for the first lines of a script.

    What `tune_host_allocator` does, for every thread, and with huge pages. Returns, and changes nothing, in the process so
    started, where the environment has malloc settings of its own, and where malloc is not glibc's. Whatever the program did
    before is done twice.
    """
    taken = any(name.startswith("MALLOC_") for name in os.environ) or "glibc.malloc" in os.environ.get(
        "GLIBC_TUNABLES", ""
    )
    if taken or platform.libc_ver()[0] != "glibc":
        return
    tunables = [*filter(None, [os.environ.get("GLIBC_TUNABLES")]), TUNED_ENVIRONMENT["GLIBC_TUNABLES"]]
    environment = {**os.environ, **TUNED_ENVIRONMENT, "GLIBC_TUNABLES": ":".join(tunables)}
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
