"""What XLA has assigned to a compiled program."""

from __future__ import annotations

from typing import Any


def megabytes(stats: Any) -> dict[str, float]:
    """Of `memory_analysis()`. `total_mb` is what lives at once, at most: results in the place of arguments count once."""
    sizes = {
        "arguments": stats.argument_size_in_bytes,
        "results": stats.output_size_in_bytes,
        "temp": stats.temp_size_in_bytes,
    }
    total = sum(sizes.values()) - stats.alias_size_in_bytes
    return {f"{name}_mb": size / 1e6 for name, size in {**sizes, "total": total}.items()}
