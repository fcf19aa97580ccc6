"""The GPU under test, and what its kernels are called in a compiled program."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import pytest

from benchmarks.kernel_calls import TRITON, kernel_calls
from tests.matrix.operations import LINEAR_SCAN

# The default takes a share of the cases: it is the same kernel, which `test_programs` makes sure of.
LINEAR = dataclasses.replace(LINEAR_SCAN, implementations=("triton", None), native=("triton",), custom_call=TRITON)
SPECTRAL_FORWARD, SPECTRAL_BACKWARD = "cssm_cuda_spectral_scan_forward", "cssm_cuda_spectral_scan_backward"

PLATFORM = "cuda"

each_linear = pytest.mark.parametrize("implementation", ["triton", None], ids=str)
each_spectral = pytest.mark.parametrize("implementation", ["cuda", None], ids=str)


@functools.cache
def missing() -> str | None:
    """Why there is no GPU to test on, or None."""
    try:
        default = jax.devices()[0]
    except RuntimeError as error:
        return f"no GPU: {error}"
    if default.platform == "gpu":
        return None
    wanted = jax.config.jax_platforms  # type: ignore[attr-defined]
    return f"no GPU: of the platforms {wanted or 'that jax knows'}, jax has {default.platform}"


def calls_of(function: Callable[..., Any], *args: Any) -> Counter[str]:
    """Kernels of ours in `function` compiled for these arguments."""
    return kernel_calls(jax.jit(function).lower(*args).compile())


def on_cpu(function: Callable[..., Any], *args: Any) -> Any:
    """`function` compiled for the CPU, and run there."""
    cpu = jax.devices("cpu")[0]
    with jax.default_device(cpu):
        return jax.jit(function)(*jax.device_put(args, cpu))


def memory_bytes() -> int:
    """Memory that jax may use."""
    return (jax.devices()[0].memory_stats() or {}).get("bytes_limit", 0)
