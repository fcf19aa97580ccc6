"""What the assembler makes of the kernels of the engine over lanes: no spills, room for enough warps."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from cssm_kernels import delta_scan, gated_scan, goom_matrix_scan, goom_scan, matrix_scan
from tools.gpu_offline import sass
from tools.gpu_offline.custom_call import triton_calls

FRAMES = (8, 32, 64, 544)


# name: (operation, its options, operands of sizes as users have them, bits of the narrowest access)
CONFIGURATIONS = {
    "gates full": (gated_scan, {}, [(FRAMES, "complex64")] * 4, 128),
    "gates by frequency": (gated_scan, {}, [((8, 32, 1, 544), "float32")] * 2 + [(FRAMES, "complex64")], 32),
    "gates factored": (
        *(gated_scan, {}),
        [((8, 32, 64, 1), "float32"), ((8, 32, 1, 544), "float32"), (FRAMES, "float32"), ((64, 1), "float32")],
        32,
    ),
    "states summed": (
        *(gated_scan, dict(state_axis=3)),
        [((8, 256, 512, 1), "float32"), ((8, 256, 1, 16), "float32")] * 2,
        32,
    ),
    "2x2": (matrix_scan, {}, [((1, 64, 8704, 2, 2), "float32"), ((1, 64, 8704, 2), "float32")], 32),
    "3x3 constant": (matrix_scan, {}, [((1, 1, 8704, 3, 3), "complex64"), ((1, 64, 8704, 3), "complex64")], 64),
    "4x4": (matrix_scan, {}, [((1, 64, 8704, 4, 4), "complex64"), ((1, 64, 8704, 4), "complex64")], 64),
    "keys of 4": (delta_scan, {}, [((8, 32, 16, 1), "float32")] * 2 + [((8, 32, 16, 544, 4), "complex64")] * 3, 32),
    "logarithms": (goom_scan, {}, [((1, 64, 17_408), "complex64")] * 2, 32),
    "logarithms in double precision": (goom_scan, {}, [((1, 64, 17_408), "complex128")] * 2, 64),
    "logarithms, 2x2": (
        *(goom_matrix_scan, {}),
        [((8, 256, 2176, 2, 2), "complex64"), ((8, 256, 2176, 2), "complex64")],
        32,
    ),
}
# Warps a multiprocessor must have room for: a thread may hold a 4 x 4 complex state, its cotangent and their products.
ROOM = 8


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_registers_spills_and_widths(capability, name):
    operation, options, operands, narrowest = CONFIGURATIONS[name]

    def run(*operands):
        y, vjp = jax.vjp(lambda *operands: operation(*operands, axis=1, **options), *operands)
        return y, vjp(jnp.ones_like(y))

    types = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in operands]
    lowered = jax.jit(run).trace(*types).lower(lowering_platforms=("cuda",))
    calls = triton_calls(lowered.compiler_ir("stablehlo"))
    assert {call.name.split("_")[-1] for call in calls} >= {"forward", "vjp"}
    for call in calls:
        (kernel,) = sass.assemble(call.ptx, capability)
        assert kernel.stack == 0, f"{kernel.name} spills"
        assert kernel.count("LDL") == kernel.count("STL") == 0
        assert kernel.warps_resident() >= ROOM, f"{kernel.name} takes {kernel.registers} registers"
        assert min(kernel.widths("LDG") + kernel.widths("STG")) >= narrowest, kernel.instructions
