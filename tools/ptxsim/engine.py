"""Launches: arguments, batches of blocks, and the loop that runs the lanes with the least pc."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from tools.ptxsim.barriers import release_waiting
from tools.ptxsim.batch import IDLE, WARP, Batch
from tools.ptxsim.decoder import Control, Mask
from tools.ptxsim.errors import LaunchError, PtxError, RunawayLoop
from tools.ptxsim.memory import GlobalMemory, Mapping
from tools.ptxsim.program import PARAMETER_ADDRESS, Kernel
from tools.ptxsim.report import Race, Report
from tools.ptxsim.traffic import BlockRaces

_LANES = 4096  # in a batch: enough to amortise a NumPy call, few enough for the registers to stay in cache
_MAX_THREADS = 1024
_BUDGET = 5_000_000

Argument = int | float | bytes | np.generic
Size = tuple[int, int, int]


class Launch:
    """What all batches of one launch share."""

    def __init__(
        self, kernel: Kernel, grid: Size, block: Size, args: Sequence[Argument], memory: GlobalMemory, dynamic: int
    ) -> None:
        self.program = kernel.program
        self.grid, self.block, self.dynamic_shared = grid, block, dynamic
        self.shared_bytes = self.program.dynamic_offset + dynamic
        self.params = _pack_arguments(kernel, args)
        parameters = Mapping(PARAMETER_ADDRESS, np.frombuffer(self.params + b"\0", np.uint8), False)
        self.memory = memory.extended(*kernel.module.mappings, parameters)
        self.block_races = BlockRaces(self.program.global_cell)
        self.races: set[Race] = set()
        self.report = Report()


def launch(
    kernel: Kernel,
    grid: Size,
    block: Size,
    args: Sequence[Argument],
    memory: GlobalMemory,
    dynamic_shared: int = 0,
    budget: int = _BUDGET,
) -> Report:
    """Run a kernel to its end.

    grid, block: (x, y, z), in blocks and in threads. args: one for each of `kernel.params`: an integer (or the address of
    a mapping), a float, or the bytes of a by-value struct. dynamic_shared: bytes of `.extern .shared` memory. budget: how
    many instructions a batch of blocks may execute, each counted once however many lanes execute it together.

    Raises LaunchError, and for what the kernel does wrong the error named after it, with the kernel, instruction, block
    and thread in its message. Races are in the report: see `Report.check`.
    """
    for name, size in (("grid", grid), ("block", block)):
        if len(size) != 3 or min(size) < 1:
            raise LaunchError(f"{name} is {size}, not three positive numbers")
    threads = int(np.prod(block))
    required = kernel.function.required_block
    if threads > _MAX_THREADS or (required is not None and tuple(block) != required):
        raise LaunchError(f"{kernel.name} cannot be launched with a block of {block}; .reqntid is {required}")
    state = Launch(kernel, grid, block, args, memory, dynamic_shared)
    together = max(1, _LANES // ((threads + WARP - 1) // WARP * WARP))
    blocks = int(np.prod(grid))
    issues: Counter[int] = Counter()
    with np.errstate(all="ignore"):
        for first in range(0, blocks, together):
            batch = Batch(state, np.arange(first, min(blocks, first + together)))
            _run(batch, issues, budget)
    for pc, warps in issues.items():
        inst = state.program.instructions[pc]
        state.report.instructions[".".join((inst.opcode, *inst.modifiers))] += warps
    state.report.races = tuple(sorted(state.races))
    return state.report


def _pack_arguments(kernel: Kernel, args: Sequence[Argument]) -> bytes:
    if len(args) != len(kernel.params):
        raise LaunchError(f"{kernel.name} takes {len(kernel.params)} arguments, not {len(args)}")
    packed = bytearray(kernel.program.param_bytes)
    for variable, param, arg in zip(kernel.function.params, kernel.params, args):
        if isinstance(arg, bytes):
            data = arg
        elif param.dtype.kind == "V":
            raise LaunchError(f"{kernel.name}: {param.name} is {param.dtype.itemsize} bytes by value, not {arg!r}")
        elif isinstance(arg, (float, np.floating)):
            if param.dtype.kind != "f" and param.dtype.itemsize not in (4, 8):
                raise LaunchError(f"{kernel.name}: {param.name} is {param.dtype}, not {arg!r}")
            data = np.array(arg, f"f{param.dtype.itemsize}").tobytes()
        elif param.dtype.kind == "f":
            data = np.array(arg, param.dtype).tobytes()
        else:
            bits = 8 * param.dtype.itemsize
            if not -(1 << (bits - 1)) <= int(arg) < 1 << bits:
                raise LaunchError(f"{kernel.name}: {arg} does not fit in {param.name}, which is {param.dtype}")
            data = (int(arg) % (1 << bits)).to_bytes(bits // 8, "little")
        if len(data) != variable.nbytes:
            raise LaunchError(f"{kernel.name}: {param.name} has {variable.nbytes} bytes, not {len(data)}")
        offset = kernel.program.param_offset(variable)
        assert offset is not None
        packed[offset : offset + len(data)] = data
    return bytes(packed)


def _run(batch: Batch, issues: Counter[int], budget: int) -> None:
    segments: Counter[tuple[int, int, int]] = Counter()
    try:
        _run_segments(batch, segments, budget)
    except PtxError as error:
        lane = error.lane if error.lane is not None else int(batch.active_lanes[0])
        block, thread = batch.coordinates(lane)
        text = batch.program.instructions[batch.pc].text
        error.locate(f"kernel {batch.program.kernel.name}, instruction '{text}', block {block}, thread {thread}")
        raise
    for (start, end, warps), times in segments.items():
        for pc in range(start, end):
            issues[pc] += warps * times


def _run_segments(batch: Batch, segments: Counter[tuple[int, int, int]], budget: int) -> None:
    """Run straight-line code of the lanes with the least pc until it branches or reaches a pc where others are."""
    program = batch.program
    steps, guards, block_end, pcs = program.steps, program.guards, program.block_end, batch.pcs
    executed = 0
    while True:
        pc = int(pcs.min())
        if pc == IDLE:
            if not release_waiting(batch):
                return
            continue
        meeting, warps = _activate(batch, pc)
        next_pc: int | None = pc
        while next_pc is not None:
            pc = next_pc
            end = min(block_end[pc], meeting)
            executed += end - pc + 1
            batch.clock[...] = executed
            if executed > budget:
                batch.pc = pc
                raise RunawayLoop(f"more than {budget} instructions")
            for i in range(pc, end):
                batch.pc = i
                if guards[i] is None:
                    steps[i](batch, batch.active)  # type: ignore[operator]
                elif (mask := _guarded(batch, guards[i])) is not None:
                    steps[i](batch, mask)  # type: ignore[operator]
            if end == meeting:
                segments[pc, end, warps] += 1
                pcs[batch.active_lanes] = end
                break
            segments[pc, end + 1, warps] += 1
            batch.pc = end
            next_pc = _control(batch, steps[end], guards[end])  # type: ignore[arg-type]
            if next_pc is not None and meeting != IDLE:
                pcs[batch.active_lanes] = next_pc
                break


def _activate(batch: Batch, pc: int) -> tuple[int, int]:
    """Make the lanes at `pc` the active ones. The next pc where others are (or IDLE), and the number of active warps."""
    active = batch.pcs == pc
    count = np.count_nonzero(active)
    if count == batch.lanes:
        batch.active, batch.active_lanes = True, batch.all_lanes
        return int(IDLE), batch.lanes // WARP
    batch.active, batch.active_lanes = active, np.flatnonzero(active)
    warps = int(np.count_nonzero(active.reshape(-1, WARP).any(axis=1)))
    return int(np.where(active, IDLE, batch.pcs).min()), warps


def _guarded(batch: Batch, guard: tuple[int, bool, tuple[int, ...]] | None) -> Mask | None:
    """The active lanes whose guard holds; None if there are none."""
    if guard is None:
        return batch.active
    slot, negated, checks = guard
    for register in checks:
        batch.require_initialised(register, batch.active)
    predicate = batch.views[slot]
    if negated:
        predicate = ~predicate
    if batch.active is True:
        count = np.count_nonzero(predicate)
        # A copy: the instruction may write its own guard.
        return None if count == 0 else True if count == batch.lanes else predicate.copy()
    mask = predicate & batch.active
    count = np.count_nonzero(mask)
    return None if count == 0 else batch.active if count == len(batch.active_lanes) else mask


def _control(batch: Batch, control: Control, guard: tuple[int, bool, tuple[int, ...]] | None) -> int | None:
    taken = _guarded(batch, guard)
    if taken is None:
        return batch.pc + 1
    return control.run(batch, batch.pc, batch.active, taken)
