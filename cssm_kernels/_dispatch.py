"""Which implementation of an operation runs where."""

from __future__ import annotations

from typing import Any

from cssm_kernels import _native, _triton

# Implementations that are plain JAX and need no native library.
PORTABLE = ("xla", "sequential", "chunked")


def check_implementation(implementation: Any, available: tuple[str, ...]) -> None:
    """Refuse a name that is unknown; load what the named implementation, or the default one, needs.

    Raises:
      ValueError: unknown name.
      ImportError: the native library, or jax-triton, is wanted and missing.
    """
    if implementation is not None and implementation not in available:
        names = ", ".join(repr(name) for name in available)
        raise ValueError(
            f"implementation is {implementation!r}; expected None (the best for the platform) or one of {names}"
        )
    if implementation == "triton":
        _triton.load()
    if implementation not in PORTABLE:
        _native.load()
