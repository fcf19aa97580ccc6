"""What our kernels load and store in a program, counted by interpreting their PTX on operands of the program's own size."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu_report.programs import Program


@dataclass(frozen=True)
class Traffic:
    """Attributes: moved_bytes: loaded and stored in global memory, distinct within each warp's instruction; sector_bytes:
    the same in whole 32-byte sectors; launches: by kernel."""

    moved_bytes: int
    sector_bytes: int
    launches: Counter[str]


def kernel_traffic(program: Program, capability: int = 90) -> Traffic:
    """Interpret every launch of the program's own kernels."""
    from tools.gpu_offline import interpreted

    os.environ["CSSM_KERNELS_COMPUTE_CAPABILITY"] = str(capability)
    jax.clear_caches()
    rng = np.random.default_rng(0)
    operands = jax.tree.map(lambda shape: _random(rng, shape), program.shapes)
    done = interpreted.launches_of(jax.jit(program.interpreted_form()), *operands)
    reports = [report for _, report in done]
    return Traffic(
        sum(report.bytes_loaded + report.bytes_stored for report in reports),
        32 * sum(report.sectors_loaded + report.sectors_stored for report in reports),
        Counter(_readable(name) for name, _ in done),
    )


def _readable(name: str) -> str:
    """A kernel's name without its template arguments."""
    mangled = re.match(r"_ZN4cssm4cuda\d+([a-z_]+)I", name)
    return mangled[1] if mangled else name


def _random(rng: np.random.Generator, shape: jax.ShapeDtypeStruct) -> jax.Array:
    """Small enough for a recurrence of many steps."""
    values = 0.4 * rng.standard_normal(shape.shape, np.float32)
    if jnp.issubdtype(shape.dtype, jnp.complexfloating):
        values = values + 0.4j * rng.standard_normal(shape.shape, np.float32)
    return jnp.asarray(values, shape.dtype)
