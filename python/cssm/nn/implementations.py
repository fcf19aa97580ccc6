"""What a layer's `implementation`, which names that of its recurrence, means for the other operations it calls."""

from __future__ import annotations

_NATIVE_OR_XLA = {"cpu": "cpu", "xla": "xla", "sequential": "xla"}


def native_or_xla(implementation: str | None) -> str | None:
    """For operations that are native or XLA's: "xla" and "sequential" take XLA's, "cpu" the native one, and with any other
    the platform decides."""
    return _NATIVE_OR_XLA.get(implementation or "")
