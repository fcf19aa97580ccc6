"""Programs run on CPU with every GPU kernel of ours interpreted: implementation "triton" and "cuda" both."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from cssm_kernels import _native
from cssm_kernels.spectral_scan import rules
from tools import ptxsim
from tools.gpu_offline import triton_bridge
from tools.gpu_offline.cuda_bridge import ptx_kernels
from tools.gpu_offline.twin import Twin, built


def launches_of(function: Callable[..., Any], *args: Any) -> list[tuple[str, ptxsim.Report]]:
    """(kernel, what it did) of each launch of `function(*args)`: Triton's, then CUDA's. Needs nvcc."""
    with ptx_kernels(_installed_twin()) as cuda:
        triton = triton_bridge.launches_of(function, *args)
    return [*triton, *((launch.kernel, launch.report) for launch in cuda.done)]


@functools.cache
def _installed_twin() -> Twin:
    """The CUDA handlers on platform cpu, for the rest of the process. Those for CUDA must have been built, with nvcc."""
    _native.require_cuda()
    twin = Twin(built())
    for name, handler in twin.handlers().items():
        jax.ffi.register_ffi_target(name, handler, platform="cpu")
    for primitive in (rules.scan, rules.vjp):
        primitive.register_native("cpu", "cuda", primitive.native["cuda"]["cuda"])
    _native.load_cuda = lambda: twin  # type: ignore[assignment]
    return twin
