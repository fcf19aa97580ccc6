"""The built library: loads it and registers its FFI targets, in one place."""

from __future__ import annotations

import functools
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
    return _cpu


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
    return [jax.export.DisabledSafetyCheck.custom_call(name) for name in load().handlers()]
