"""Branches, calls, returns and barriers of the block."""

import numpy as np

from tools.ptxsim.barriers import ALL_THREADS, arrive
from tools.ptxsim.batch import IDLE, Batch
from tools.ptxsim.decoder import Control, Decoder, Mask, Step, instruction
from tools.ptxsim.errors import DeviceTrap, UnsupportedInstruction
from tools.ptxsim.instructions.memory import pick
from tools.ptxsim.instructions.steps import nothing
from tools.ptxsim.instructions.warp import require_members
from tools.ptxsim.ptx_types import TYPES
from tools.ptxsim.syntax import Variable

_U32 = TYPES["u32"]


def _leave(batch: Batch, pc: int, taken: Mask, target: int | np.ndarray) -> None:
    """The active lanes go on, but those taken go to `target`."""
    batch.pcs[batch.active_lanes] = pc + 1
    batch.pcs[batch.lanes_of(taken)] = target


@instruction("bra")
def _bra(d: Decoder) -> Control:
    d.flag("uni")
    target = d.program.label(d.operand(0), d.pc)

    def run(batch: Batch, pc: int, active: Mask, taken: Mask) -> int | None:
        if taken is active:
            return target
        _leave(batch, pc, taken, target)
        return None

    return Control(run)


@instruction("brx")
def _brx(d: Decoder) -> Control:
    d.flag("uni")
    if not d.flag("idx"):
        raise UnsupportedInstruction("brx without .idx")
    index = d.source(0, _U32)
    names = d.program.unit_at(d.pc).function.branch_targets.get(d.operand(1), ())
    targets = np.array([d.program.label(name, d.pc) for name in names], np.int32)

    def run(batch: Batch, pc: int, active: Mask, taken: Mask) -> int | None:
        lanes = batch.lanes_of(taken)
        chosen = pick(batch.views[index], lanes, taken)
        if (chosen >= len(targets)).any():
            lane = int(lanes[np.flatnonzero(chosen >= len(targets))[0]])
            raise UnsupportedInstruction(f"branch index beyond the {len(targets)} targets", lane)
        _leave(batch, pc, taken, targets[chosen])
        return None

    return Control(run)


@instruction("ret", "exit")
def _ret(d: Decoder) -> Control:
    d.flag("uni")
    leaves_kernel = d.inst.opcode == "exit" or d.program.unit_at(d.pc).function.is_entry

    def run(batch: Batch, pc: int, active: Mask, taken: Mask) -> int | None:
        lanes = batch.lanes_of(taken)
        if leaves_kernel:
            _leave(batch, pc, taken, int(IDLE))
            return None
        batch.depth[lanes] -= 1
        back = np.stack(batch.calls)[batch.depth[lanes], lanes]
        for after in np.unique(back):
            for source, target, nbytes in d.program.results[int(after) - 1]:
                batch.local.copy(source, target, lanes[back == after], nbytes)
        _leave(batch, pc, taken, back)
        return None

    return Control(run)


@instruction("trap", "brkpt")
def _trap(d: Decoder) -> Step:
    def step(batch: Batch, mask: Mask) -> None:
        raise DeviceTrap("the kernel trapped", int(batch.lanes_of(mask)[0]))

    return step


@instruction("call")
def _call(d: Decoder) -> Control | Step:
    """Arguments and results are copied between the caller's and the function's parameter variables."""
    d.flag("uni")
    name = d.program.callee(d.inst)
    if name == "__assertfail":
        return _assertion_failed
    unit = d.program.units.get(name)
    if unit is None:
        raise UnsupportedInstruction(f"call of {name}")
    groups = [operand.strip("()") for operand in d.inst.operands if operand.startswith("(")]
    results = groups[0] if d.operand(0).startswith("(") else ""
    arguments = groups[-1] if d.inst.operands[-1].startswith("(") and d.inst.operands[-1] != d.operand(0) else ""
    incoming = _pairs(d, arguments, unit.function.params, inwards=True)
    outgoing = _pairs(d, results, unit.function.results, inwards=False)

    d.program.results[d.pc] = outgoing

    def run(batch: Batch, pc: int, active: Mask, taken: Mask) -> int | None:
        lanes = batch.lanes_of(taken)
        for register in unit.tracked:
            batch.initialised[register][lanes] = 0
        for source, target, nbytes in incoming:
            batch.local.copy(source, target, lanes, nbytes)
        depth = int(batch.depth[lanes].max())
        if depth >= len(batch.calls):
            batch.calls.append(np.zeros(batch.lanes, np.int32))
        for level in np.unique(batch.depth[lanes]):
            batch.calls[level][lanes[batch.depth[lanes] == level]] = pc + 1
        batch.depth[lanes] += 1
        _leave(batch, pc, taken, unit.start)
        return None

    return Control(run)


def _pairs(d: Decoder, names: str, formals: tuple[Variable, ...], *, inwards: bool) -> list[tuple[int, int, int]]:
    """Source, target and number of bytes for each parameter."""
    actual = [name.strip() for name in names.split(",") if name.strip()]
    pairs = []
    for name, formal in zip(actual, formals, strict=True):
        variable = d.inst.scope.variable(name)
        if variable is None:
            raise UnsupportedInstruction(f"argument {name} is not a variable")
        ends = d.program.address(variable), d.program.address(formal)
        pairs.append((*(ends if inwards else ends[::-1]), formal.nbytes))
    return pairs


def _assertion_failed(batch: Batch, mask: Mask) -> None:
    raise DeviceTrap("a device assertion failed", int(batch.lanes_of(mask)[0]))


@instruction("bar", "barrier")
def _barrier(d: Decoder) -> Control | Step:
    d.flag("cta")
    if d.flag("warp"):
        return _warp_barrier(d)
    d.flag("aligned")
    kind = d.choose("sync", "arrive")
    if kind is None:
        raise UnsupportedInstruction("a barrier that is neither .sync nor .arrive")
    operands = [d.source(i, _U32) for i in range(len(d.inst.operands))]

    def run(batch: Batch, pc: int, active: Mask, taken: Mask) -> int | None:
        if kind == "sync" and active is True and taken is True and len(operands) == 1:
            barrier = batch.views[operands[0]]
            if barrier.ndim == 0:
                batch.shared.join(slice(None))
                return pc + 1
        lanes = batch.lanes_of(taken)
        barrier = pick(batch.views[operands[0]], lanes, taken)
        count = pick(batch.views[operands[1]], lanes, taken) if len(operands) > 1 else np.full(lanes.shape, ALL_THREADS)
        if kind == "arrive":
            arrive(batch, lanes, barrier, count)
            return pc + 1
        batch.waiting[lanes] = pc
        batch.barrier[0, lanes], batch.barrier[1, lanes] = barrier, count
        _leave(batch, pc, taken, int(IDLE))
        return None

    return Control(run)


def _warp_barrier(d: Decoder) -> Step:
    if not d.flag("sync"):
        raise UnsupportedInstruction("bar.warp without .sync")
    members = d.source(0, _U32)

    def step(batch: Batch, mask: Mask) -> None:
        require_members(batch, mask, members)
        warps = batch.warps_in(mask).reshape(len(batch.blocks), -1) != 0
        batch.shared.advance(warps)

    return step


@instruction("setmaxnreg")
def _setmaxnreg(d: Decoder) -> Step:
    d.ignore(r".*")
    return nothing
