"""What JAX will run on, without asking it: once it has looked, processes can no longer join."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from importlib.util import find_spec


def runs_on_cpu() -> bool:
    """Whether JAX_PLATFORMS begins with cpu, or names nothing where no plugin for another device is installed."""
    wanted = os.environ.get("JAX_PLATFORMS", "")
    if wanted:
        return wanted.split(",")[0] == "cpu"
    return find_spec("jax_plugins") is None and not entry_points(group="jax_plugins")
