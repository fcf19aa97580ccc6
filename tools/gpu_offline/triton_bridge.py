"""Runs the Triton kernels on CPU: the PTX that a GPU would get, taken out of the program compiled for one, interpreted.

Importing this lets implementation="triton" run on platform cpu, compiled for CSSM_KERNELS_COMPUTE_CAPABILITY. Results are
filled with NaN before each launch, every launch must be free of races, and what it loads and stores is counted.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.interpreters import mlir

from cssm_kernels._triton.jax_triton_0_3 import call_p
from cssm_kernels.delta_scan import rules as delta
from cssm_kernels.gated_scan import rules as gated
from cssm_kernels.goom_scan import rules as goom
from cssm_kernels.linear_scan import rules as linear
from cssm_kernels.matrix_scan import rules as matrix
from tools import ptxsim
from tools.gpu_offline.custom_call import TritonCall, triton_calls
from tools.ptxsim import parse

# Two pointers that jaxlib appends to every kernel's arguments.
_SCRATCH = 2
_modules: dict[str, Any] = {}
_lock = threading.Lock()
_launches: list[tuple[TritonCall, ptxsim.Report]] = []


def launches_of(function: Callable[..., Any], *args: Any) -> list[tuple[str, ptxsim.Report]]:
    """(kernel, what it did) of each launch of `function(*args)`, in order."""
    _launches.clear()
    jax.block_until_ready(function(*args))
    return [(call.name, report) for call, report in _launches]


def run(call: TritonCall, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> ptxsim.Report:
    """Launch a kernel on arrays; the outputs are written."""
    with _lock:
        module = _modules.get(call.ptx) or _modules.setdefault(call.ptx, parse(call.ptx))
    kernel = module.kernels[call.name]
    memory = ptxsim.GlobalMemory()
    addresses = iter(
        [memory.map(array, writable=False) for array in inputs]
        + [memory.map(array, writable=True) for array in outputs]
    )
    arguments = [next(addresses) if value is None else value for value in call.parameters]
    assert len(kernel.params) == len(arguments) + _SCRATCH, "jaxlib passes exactly two scratch pointers more"
    report = ptxsim.launch(
        kernel,
        grid=call.grid,
        block=(32 * call.warps, 1, 1),
        args=[*arguments, *[0] * _SCRATCH],
        memory=memory,
        dynamic_shared=call.shared_bytes,
    )
    report.check()
    with _lock:
        _launches.append((call, report))
    return report


def _interpret(call: TritonCall, types: Any, *inputs: Any) -> list[np.ndarray]:
    outputs = []
    for type_ in types:
        out = np.empty(type_.shape, type_.dtype)
        out.view(np.uint8).reshape(-1)[:] = 0xFF  # a NaN in every floating-point type
        outputs.append(out)
    run(call, [np.array(x, order="C") for x in inputs], outputs)
    return outputs


def _lower_on_cpu(ctx: Any, *args: Any, **params: Any) -> Any:
    types = params["out_shapes"]
    bind = functools.partial(call_p.bind, **params)
    avals = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in ctx.avals_in]
    lowered = jax.jit(lambda *a: bind(*a)).trace(*avals).lower(lowering_platforms=("cuda",))
    (call,) = triton_calls(lowered.compiler_ir("stablehlo"))
    run_it = functools.partial(_interpret, call, types)
    return mlir.lower_fun(lambda *a: jax.pure_callback(run_it, list(types), *a), multiple_results=True)(ctx, *args)


mlir.register_lowering(call_p, _lower_on_cpu, platform="cpu")
for _primitive in (
    *(linear.scan, linear.tangent, linear.vjp),
    *(primitive for rules in (gated, matrix, delta, goom) for primitive in (rules.scan, rules.vjp)),
    *(goom.matrix_scan, goom.matrix_vjp),
):
    _primitive.register_native("cpu", "triton", _primitive.native["cuda"]["triton"])
