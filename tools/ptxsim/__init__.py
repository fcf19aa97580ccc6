"""A functional interpreter of PTX in NumPy, for proving GPU kernels on a machine without a GPU.

    module = ptxsim.parse(ptx_text)
    memory = ptxsim.GlobalMemory()
    args = [memory.map(x, writable=False), memory.map(y), n]
    report = ptxsim.launch(module.kernels["name"], grid=(8, 1, 1), block=(128, 1, 1), args=args, memory=memory)
    report.check()  # races do not stop a launch: this raises if there were any

It runs the PTX that Triton and nvcc emit, all threads of a few blocks at a time, and finds what a GPU would let pass.

**Checked as it runs**, each an error that names kernel, instruction, block and thread: accesses out of bounds of a mapping,
of shared or of local memory; misaligned ones; stores to read-only memory; reads of a register, or of shared or local
memory, that was not written; barriers that part of a block cannot reach; shuffles, votes and matrix moves with lanes
missing; integer division by zero; `trap` and failed assertions; loops without end (a budget of instructions). A `cp.async`
arrives only at its wait. An instruction, or a modifier of one, that is not known is an error when a lane executes it.

**Recorded in the report**: races in shared memory between warps (RAW, WAR, WW) and within one ("warp"), by happens-before
over the barriers that were executed, whatever values came of them; stores of different values by one instruction; races
between blocks in global memory ("global"), also through fences and atomics, which are not followed; stores of the same
value by different warps ("redundant", which `check` lets pass). And the traffic: bytes and 32-byte sectors of each warp's
accesses, their widths, and how often each opcode was issued.

**Exact**: integers; IEEE arithmetic with one rounding, fma included, in f16, bf16, f32, f64 and the packed forms (f64
rounds to nearest only); conversions.

**Not modelled**: time, SASS, registers and occupancy; the errors of approximate instructions (`ex2.approx` and its like are
computed in float64 and rounded once); weak memory order (each instruction's effects are seen at once, by everyone); warps
that are not in step (the lanes with the least pc run first and meet again at the first common one, so a lane that spins on
what another will store never ends); blocks that wait for each other; NaN payloads. `%clock` counts executed instructions.

**Not supported**: mma, wgmma, tcgen05, bulk and tensor copies, mbarriers, clusters, textures and surfaces, bar.red, printf,
indirect calls and recursion, generic atomics, 128-bit registers, 8-bit and 4-bit floats.

How it works: `syntax` reads the text; `program` decodes each instruction once, by its family in `instructions/`, to a
function of slots (`layout`), and `assignment` proves which registers are written before they are read, so that only the
others are watched; `engine` runs batches of blocks (`batch`).
"""

from tools.ptxsim.engine import launch
from tools.ptxsim.errors import (
    BarrierDivergence,
    DeviceTrap,
    DivisionByZero,
    LaunchError,
    Misaligned,
    MissingLanes,
    OutOfBounds,
    ParseError,
    PtxError,
    RaceError,
    ReadOnlyStore,
    RunawayLoop,
    UninitialisedRead,
    UnsupportedInstruction,
)
from tools.ptxsim.memory import GlobalMemory
from tools.ptxsim.program import Kernel, Module, Param, parse
from tools.ptxsim.report import Race, Report

__all__ = [
    "BarrierDivergence",
    "DeviceTrap",
    "DivisionByZero",
    "GlobalMemory",
    "Kernel",
    "LaunchError",
    "Misaligned",
    "MissingLanes",
    "Module",
    "OutOfBounds",
    "Param",
    "ParseError",
    "PtxError",
    "Race",
    "RaceError",
    "ReadOnlyStore",
    "Report",
    "RunawayLoop",
    "UninitialisedRead",
    "UnsupportedInstruction",
    "launch",
    "parse",
]
