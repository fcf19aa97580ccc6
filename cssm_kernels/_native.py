"""The built libraries: loads them and registers their FFI targets, in one place."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from typing import Any

import jax


@functools.cache
def load() -> Any:
    """The native CPU module, its handlers registered with XLA.

    Raises:
      ImportError: the library was not built, or CSSM_KERNELS_ISA names an instruction set this machine lacks.
    """
    try:
        from cssm_kernels import _cpu  # type: ignore[attr-defined]
    except ImportError as error:
        raise ImportError(
            "the native CPU kernels of cssm_kernels cannot be loaded; install the package with `pip install .` "
            f"(it builds them with your C++ compiler). The cause was: {error}"
        ) from error
    for name, handler in _cpu.handlers().items():
        jax.ffi.register_ffi_target(name, handler, platform="cpu")
    load_cuda()
    return _cpu


@functools.cache
def load_cuda() -> Any | None:
    """The native CUDA module, its handlers registered with XLA, or None if it was not built. It loads with no GPU.

    Raises:
      ImportError: it was built and cannot be loaded.
    """
    if importlib.util.find_spec("cssm_kernels._cuda") is None:
        return None
    _cuda = importlib.import_module("cssm_kernels._cuda")
    for name, handler in _cuda.handlers().items():
        jax.ffi.register_ffi_target(name, handler, platform="CUDA")
    return _cuda


def require_cuda() -> None:
    """Load the native CUDA module.

    Raises:
      ImportError: it was not built, or cannot be loaded.
    """
    if load_cuda() is None:
        raise ImportError(
            "the native CUDA kernels of cssm_kernels were not built; install the package on a machine with nvcc (CUDA 12.8 "
            "or later, on PATH or in CUDACXX), with CSSM_CUDA=ON in the environment to make a build without them fail: "
            "`CSSM_CUDA=ON pip install --force-reinstall --no-deps .`"
        )


def build_info() -> dict[str, str]:
    """How the native CPU library was built, and the instruction set it runs with here.

    Returns:
      `isa` ("avx512", "avx2" or "baseline"; set CSSM_KERNELS_ISA before the first call to choose a lesser one),
      `compiler`, `build_type`, `xla_ffi_api`.
    """
    return load().build_info()


def export_checks() -> list[jax.export.DisabledSafetyCheck]:
    """The safety checks to disable when a program that uses the native kernels is exported.

    `jax.export` admits custom calls only by name: `jax.export.export(f, disabled_checks=cssm_kernels.export_checks())`.
    The program then runs wherever this package is imported first.
    """
    modules = [module for module in (load(), load_cuda()) if module is not None]
    names = ["triton_kernel_call", *(name for module in modules for name in module.handlers())]
    return [jax.export.DisabledSafetyCheck.custom_call(name) for name in names]
