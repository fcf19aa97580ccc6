"""A step that is compiled, for a GPU that is not here."""

from __future__ import annotations

import ast
import os
import re
import time
from collections import Counter
from typing import Any

import jax

from benchmarks.full_steps.memory import megabytes
from benchmarks.full_steps.on_cpu import listed
from benchmarks.full_steps.steps import Step
from benchmarks.gpu_report.deviceless import compile_for
from benchmarks.gpu_report.targets import Gpu
from tools.gpu_offline.custom_call import decode

TRITON = "triton_kernel_call"
OPTIONS = {"xla_gpu_enable_triton_gemm": False}
"""XLA chooses between Triton's matrix products and cuBLAS's by trying both. With no GPU to try on it takes Triton's, and for
some of SHViT's then finds no tiles and raises."""


def compiled(step: Step, batch: int, gpu: Gpu) -> dict[str, Any]:
    """The columns of the step with `batch` samples; where XLA refuses it, `note` is what it says."""
    os.environ["CSSM_KERNELS_COMPUTE_CAPABILITY"] = str(gpu.capability)
    jax.clear_caches()
    start = time.perf_counter()
    try:
        program = compile_for(gpu, step.function, step.shapes(batch), donate_argnums=(0,), options=OPTIONS)
    except jax.errors.JaxRuntimeError as error:
        return {"batch": batch, "note": str(error).splitlines()[0]}
    others = Counter({name: n for name, n in program.kernels.items() if not name.startswith(("cssm_", TRITON))})
    row = {"batch": batch, "compile_s": time.perf_counter() - start, **megabytes(program.memory)}
    return row | {"calls": listed(our_calls(program.text)), "other_launches": listed(others)}


def our_calls(text: str) -> Counter[str]:
    """Of a compiled program, by name: Triton's by their kernels'."""
    calls = Counter(re.findall(r'custom_call_target="(cssm_\w+)"', text))
    for opaque in re.findall(rf'custom_call_target="{TRITON}".*?backend_config="((?:[^"\\]|\\.)*)"', text):
        calls[decode(ast.literal_eval(f'b"{opaque}"')).name] += 1  # escaped as in C
    return calls
