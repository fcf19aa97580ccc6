"""What a step takes: run on CPU, or compiled for a GPU that is not here."""

from __future__ import annotations

import ast
import math
import os
import re
import time
from collections import Counter
from typing import Any

import jax

from benchmarks.full_steps.steps import Step
from benchmarks.gpu_report.deviceless import compile_for
from benchmarks.gpu_report.targets import Gpu
from tools.gpu_offline.custom_call import decode

Row = dict[str, Any]
OURS = ("cssm_", "triton_kernel_call")


def on_cpu(name: str, step: Step) -> Row:
    """The step's own batch, once.

    Raises:
      FloatingPointError: its loss or the norm of its gradient is not finite.
    """
    start = time.perf_counter()
    compiled = step.on_cpu.lower(step.state, dict(step.batch)).compile()
    compile_s = time.perf_counter() - start
    start = time.perf_counter()
    _, metrics = jax.block_until_ready(compiled(step.state, dict(step.batch)))
    row = {"batch": len(step.batch["label"]), "compile_s": compile_s, "step_s": time.perf_counter() - start}
    row |= {**memory(compiled.memory_analysis()), "calls": listed(our_calls(compiled.as_text()))}
    found = {metric: float(metrics[metric]) for metric in ("loss", "grad_norm")}
    if not all(map(math.isfinite, found.values())):
        raise FloatingPointError(f"{name}: got {found}, expected finite numbers")
    return row | found


def on_gpu(step: Step, batch: int, gpu: Gpu) -> Row:
    """The step of `batch` samples, compiled for this GPU; where XLA refuses, what it says."""
    os.environ["CSSM_KERNELS_COMPUTE_CAPABILITY"] = str(gpu.capability)
    jax.clear_caches()
    start = time.perf_counter()
    try:
        compiled = compile_for(gpu, step.function, step.shapes(batch), donate_argnums=(0,))
    except jax.errors.JaxRuntimeError as error:
        return {"batch": batch, "note": str(error).splitlines()[0]}
    row = {"batch": batch, "compile_s": time.perf_counter() - start, **memory(compiled.memory)}
    others = Counter({name: n for name, n in compiled.kernels.items() if not name.startswith(OURS)})
    return row | {"calls": listed(our_calls(compiled.text)), "other_launches": listed(others)}


def our_calls(text: str) -> Counter[str]:
    """Of a compiled program, by name: Triton's calls by their kernels'."""
    calls = Counter(re.findall(r'custom_call_target="(cssm_\w+)"', text))
    for call in re.findall(r'custom_call_target="triton_kernel_call".*?backend_config="((?:[^"\\]|\\.)*)"', text):
        calls[decode(ast.literal_eval(f'b"{call}"')).name] += 1  # escaped as in C
    return calls


def memory(stats: Any) -> Row:
    """In MB; `total` is what lives at once, at most: results that take the place of arguments count once."""
    sizes = {
        "arguments": stats.argument_size_in_bytes,
        "results": stats.output_size_in_bytes,
        "temp": stats.temp_size_in_bytes,
    }
    total = sum(sizes.values()) - stats.alias_size_in_bytes
    return {f"{name}_mb": size / 1e6 for name, size in {**sizes, "total": total}.items()}


def listed(calls: Counter[str]) -> str:
    """2 cssm_fft2, 1 ..."""
    return ", ".join(f"{number} {name}" for name, number in calls.most_common())
