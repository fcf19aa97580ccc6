"""On which platform the measuring processes run. Does not import jax."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from types import MappingProxyType

AUTO, CPU, CUDA = PLATFORMS = ("auto", "cpu", "cuda")

VARIABLES = MappingProxyType({AUTO: {}, CPU: {"JAX_PLATFORMS": "cpu"}, CUDA: {"JAX_PLATFORMS": "cuda,cpu"}})
"""Environment of a measuring process. `auto`, unresolved, leaves the choice to jax."""

HELP = "where to measure; auto: on an NVIDIA GPU if jax has one (auto)"

_PLUGINS = ("jax_cuda13_plugin", "jax_cuda12_plugin")


def resolve(wanted: str) -> str:
    """`cuda` if wanted, or if `auto` is and jax has an NVIDIA GPU; otherwise what is wanted.

    Raises:
      ValueError: `cuda` is wanted and jax has no such GPU; the message says why.
    """
    if wanted == CPU:
        return wanted
    problem = missing_gpu(VARIABLES[wanted])
    if problem is None:
        return CUDA
    if wanted == CUDA:
        raise ValueError(f"--platform is cuda, but jax has no NVIDIA GPU: {problem}")
    return wanted


def missing_gpu(variables: dict[str, str] | None = None) -> str | None:
    """Why a process of these variables has no NVIDIA GPU, or None if it has one."""
    environment = {**os.environ, **(variables or {})}
    if not any(map(importlib.util.find_spec, _PLUGINS)):
        return "jax's CUDA plugin is not installed (pip install 'cssm-kernels[cuda13]', or [cuda12])"
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
        return f"JAX_PLATFORMS is {platforms!r}"
    command = [sys.executable, "-c", "import jax; jax.devices('cuda')"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else None
