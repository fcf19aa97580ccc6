"""jax-triton 0.3 cannot be told options of Triton's backend; this calls it with them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax_triton import triton_lib

call_p = Primitive("cssm_triton_call")
call_p.multiple_results = True
call_p.def_abstract_eval(lambda *_, out_shapes, **__: [ShapedArray(out.shape, out.dtype) for out in out_shapes])


def call(
    operands: Sequence[Any],
    types: list[jax.ShapeDtypeStruct],
    capability: int | None,
    options: dict[str, Any],
    launch: Any,
) -> list[jax.Array]:
    """`triton_call` of `launch`, compiled with `options`."""
    make = functools.partial(
        triton_lib.triton_call,
        out_shape=types,
        compute_capability=capability,
        enable_fp_fusion=options["enable_fp_fusion"],
        **launch,
    )
    arrays = [operand for operand in operands if isinstance(operand, jax.Array)]

    def of_arrays(*arrays):
        each = iter(arrays)
        return make(*(next(each) if isinstance(operand, jax.Array) else operand for operand in operands))

    (equation,) = jax.make_jaxpr(of_arrays)(*arrays).eqns
    return call_p.bind(*arrays, ptx_version=options["ptx_version"], **equation.params)


def _lower(ctx: Any, *args: Any, ptx_version: int, **params: Any) -> Any:
    def backend(device: Any, capability: int) -> Any:
        cuda = triton_lib.get_cuda_backend(device, capability)
        parse = cuda.parse_options
        cuda.parse_options = lambda options: parse({**options, "ptx_version": ptx_version})
        return cuda

    return triton_lib.triton_kernel_call_lowering(backend, ctx, *args, **params)


mlir.register_lowering(call_p, _lower, platform="cuda")
