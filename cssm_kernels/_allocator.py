"""malloc settings for programs that make large arrays."""

from __future__ import annotations

from cssm_kernels import _native


def tune_host_allocator() -> bool:
    """Keep this process's large arrays on memory it already has.

    XLA allocates results and temporaries afresh at each call. By default glibc maps the large ones from the system and gives
    them back, so that every call pays for fresh pages. This sets M_MMAP_MAX to 0, M_TRIM_THRESHOLD to -1 and M_ARENA_MAX to
    1, by mallopt(3), for the rest of the process: memory once used is kept, and reused. A program's footprint becomes its
    peak.

    It reaches what is allocated from the main heap: the results of our kernels, as a rule. Threads that got a heap of their
    own before, as NumPy's do on import, keep it and share it with threads to come, and such a heap ends at 64 MB: beyond,
    those threads map afresh whatever is set here. Only the environment of a new process reaches them:
    `MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=17179869184`.

    Returns:
      Whether the settings were taken: False where malloc is not glibc's.

    Raises:
      ImportError: the native library was not built.
    """
    return _native.load().tune_host_allocator()
