"""jax-triton's call, with the versions checked, complex arrays read in place and the GPU to compile for decided."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

# In place of an operand that is absent: jax-triton's arguments are positional, and this one becomes an unused scalar.
ABSENT = 0
_OLDEST_CAPABILITY = 80
# Triton's own choice is the newest its assembler knows, which jax's may not. 8.7 is the first with every GPU served.
_PTX_VERSION = 87
_WORKING = "jax 0.10 with jax-triton 0.3, or jax 0.11 with jax-triton 0.4.1"


def available() -> bool:
    """Whether jax-triton is installed."""
    return importlib.util.find_spec("jax_triton") is not None


@functools.cache
def load() -> Any:
    """The jax_triton module.

    Raises:
      ImportError: it is not installed, is known not to work with this jax, or cannot be imported.
    """
    if not available():
        raise ImportError(
            f"the Triton kernels need jax-triton, which is not installed: pip install 'cssm-kernels[triton]' ({_WORKING})"
        )
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jax-triton")}
    problem = broken_pairing(versions["jax"], versions["jax-triton"])
    if problem:
        raise ImportError(problem)
    try:
        import jax_triton
        from jax_triton import triton_lib

        # A kernel sees complex numbers as pairs of their parts, in place. (Views of them would be copies.)
        names = triton_lib._JAX_TO_TRITON_TYPE_MAP
        names.setdefault(jnp.dtype("complex64"), "fp32")
        names.setdefault(jnp.dtype("complex128"), "fp64")
    except (ImportError, AttributeError) as error:
        raise ImportError(
            f"jax-triton {versions['jax-triton']} cannot be used with jax {versions['jax']}; what works: {_WORKING}, and "
            f"jax's CUDA plugin (pip install 'jax[cuda13]'). The cause was: {error}"
        ) from error
    return jax_triton


def broken_pairing(jax_version: str, jax_triton_version: str) -> str | None:
    """Why these two are known not to work together, or None."""
    jax_minor, triton_minor = (tuple(map(int, v.split(".")[:2])) for v in (jax_version, jax_triton_version))
    cause = None
    if jax_minor >= (0, 12) and triton_minor <= (0, 4):
        cause = "every call fails in jax's dead-code elimination"
    elif (jax_minor >= (0, 11)) != (triton_minor >= (0, 4)):
        cause = "they name the result's type differently"
    if cause is None:
        return None
    return (
        f"jax {jax_version} and jax-triton {jax_triton_version} do not work together ({cause}); expected {_WORKING}. "
        f"implementation='xla' needs neither"
    )


def compute_capability() -> int | None:
    """10 x major + minor of the GPU to compile for, or None for the one at hand, which jax-triton asks.

    CSSM_KERNELS_COMPUTE_CAPABILITY names one, as for a program to be exported: a kernel runs on GPUs of its capability's
    major number only. With no GPU at hand and none named it is the oldest served, with a warning.
    """
    named = os.environ.get("CSSM_KERNELS_COMPUTE_CAPABILITY")
    if named is not None:
        if not named.isdigit() or int(named) < _OLDEST_CAPABILITY:
            raise ValueError(
                f"CSSM_KERNELS_COMPUTE_CAPABILITY is {named!r}; expected 10 x major + minor, e.g. 90, at least "
                f"{_OLDEST_CAPABILITY}"
            )
        return int(named)
    if jax.default_backend() == "gpu":
        return None
    warnings.warn(
        f"no GPU at hand to compile Triton kernels for: compute capability {_OLDEST_CAPABILITY} is assumed; set "
        f"CSSM_KERNELS_COMPUTE_CAPABILITY to name another",
        stacklevel=2,
    )
    return _OLDEST_CAPABILITY


def triton_call(
    kernel: Callable[..., Any],
    operands: Sequence[Array | int],
    results: Sequence[tuple[tuple[int, ...], Any]],
    *,
    programs: int,
    num_warps: int,
    name: str,
    **constants: Any,
) -> list[Array]:
    """Launch `kernel(*operands, *results, **constants)` as `programs` programs of `num_warps` warps."""
    jax_triton = load()
    types = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results]
    capability = compute_capability()
    launch = dict(kernel=kernel, grid=(programs,), num_warps=num_warps, num_stages=1, name=name, **constants)
    options = dict(enable_fp_fusion=False, ptx_version=_PTX_VERSION)  # see values.py
    if _minor("jax-triton") >= (0, 4):
        outs = jax_triton.triton_call(
            *operands, out_type=types, compute_capability=capability, backend_options=options, **launch
        )
    else:
        from cssm_kernels._triton.jax_triton_0_3 import call

        outs = call(operands, types, capability, options, launch)
    return list(outs)


def _minor(distribution):
    return tuple(map(int, importlib.metadata.version(distribution).split(".")[:2]))
