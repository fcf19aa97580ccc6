"""What the assembler makes of the Triton kernels: no spills, wide accesses, room for enough warps."""

from __future__ import annotations

import shutil

import jax
import pytest

from cssm_kernels import linear_scan
from tools.gpu_offline import sass
from tools.gpu_offline.custom_call import triton_calls

# name: (shape of a, shape of x, axis), of sizes as users have them
LAYOUTS = {
    "constant": ((65_536,), (1024, 65_536), 0),
    "varying": ((1024, 65_536), (1024, 65_536), 0),
    "shared by a batch": ((64, 1024), (64, 64, 1024), 1),
    "shared by channels": ((64, 64, 1), (64, 64, 1024), 1),
    "long": ((4, 4096, 512), (4, 4096, 512), 1),
}
# Warps a multiprocessor must have room for: the launches have fewer, so registers do not limit how many loads are in flight.
ROOM = 16


def calls(a, x, axis, dtype):
    """Every kernel of both passes, the tangent's with them."""

    def run(a, x, ct):
        scan = lambda a, x: linear_scan(a, x, axis=axis)
        return jax.vjp(scan, a, x)[1](ct), jax.jvp(scan, (a, x), (a, x))

    shapes = [jax.ShapeDtypeStruct(shape, dtype) for shape in (a, x, x)]
    lowered = jax.jit(run).trace(*shapes).lower(lowering_platforms=("cuda",))
    return triton_calls(lowered.compiler_ir("stablehlo"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64", "float64", "complex128"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_registers_spills_and_widths(capability, layout, dtype):
    seen = set()
    for call in calls(*LAYOUTS[layout], dtype):
        assert call.capability == capability
        if call.ptx in seen:
            continue
        seen.add(call.ptx)
        (kernel,) = sass.assemble(call.ptx, capability)
        assert kernel.stack == 0, f"{kernel.name} spills"
        assert kernel.count("LDL") == kernel.count("STL") == 0
        assert kernel.warps_resident() >= ROOM, f"{kernel.name} takes {kernel.registers} registers"
        # A gate that neighbouring lanes share is read, and its gradient written, a number at a time.
        if layout != "shared by channels":
            assert min(kernel.widths("LDG") + kernel.widths("STG")) >= 64, kernel.instructions
    assert len(seen) >= 3


def test_assemblers_take_the_ptx(capability):
    """The one that Triton brings, and the toolkit's where there is one; the version is the oldest that knows every GPU."""
    assemblers = [sass._TOOLS / "ptxas"] + [path for path in [shutil.which("ptxas")] if path]
    for call in calls(*LAYOUTS["varying"], "complex64"):
        assert ".version 8.7" in call.ptx
        for assembler in assemblers:
            (kernel,) = sass.assemble(call.ptx, capability, assembler)
            assert kernel.name == call.name
