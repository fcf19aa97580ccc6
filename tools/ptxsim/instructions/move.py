"""Moves: registers, vectors packed into one register, and addresses between state spaces."""

from functools import partial

import numpy as np

from tools.ptxsim.batch import Batch
from tools.ptxsim.decoder import Decoder, Mask, Step, instruction, vector
from tools.ptxsim.errors import UnsupportedInstruction
from tools.ptxsim.instructions.compare import unsigned_like
from tools.ptxsim.instructions.memory import LOCAL_WINDOW, SHARED_WINDOW
from tools.ptxsim.instructions.steps import compute, nothing
from tools.ptxsim.ptx_types import TYPES, unsigned

_U32, _U64 = TYPES["u32"], TYPES["u64"]


@instruction("mov")
def _mov(d: Decoder) -> Step:
    type_ = d.type()
    type_ = type_ if type_.is_predicate else unsigned_like(type_)
    if d.operand(0).startswith("{"):
        return _unpack(d, type_.bits)
    if d.operand(1).startswith("{"):
        return _pack(d, type_.bits)
    if d.operand(1) == "%clock" or d.operand(1) == "%clock64":
        return _clock(d.destination(0, type_))
    target, source = d.destination(0, type_), d.source(1, type_)
    d.flow(0, [1], lambda octets: octets)
    return compute(lambda a: a, target, [source])


def _clock(target: int | None) -> Step:
    """%clock: how many instructions the batch has executed."""

    def step(batch: Batch, mask: Mask) -> None:
        if target is not None:
            np.copyto(batch.views[target], batch.clock, where=mask, casting="unsafe")

    return step


def _unpack(d: Decoder, bits: int) -> Step:
    names = vector(d.operand(0))
    part = unsigned(bits // len(names))
    source = d.source(1, unsigned(bits))
    targets = [d.destination(name, part) for name in names]
    for i, name in enumerate(names):
        d.flow(name, [1], partial(_part_written, octets=part.nbytes, index=i))
    dtype = unsigned(bits).dtype

    def step(batch: Batch, mask: Mask) -> None:
        value = batch.views[source].copy()  # the instruction may overwrite its own source
        for i, target in enumerate(targets):
            if target is not None:
                piece = value >> dtype.type(part.bits * i)
                np.copyto(batch.views[target], piece.astype(part.dtype), where=mask)

    return step


def _pack(d: Decoder, bits: int) -> Step:
    names = vector(d.operand(1))
    part, whole = unsigned(bits // len(names)), unsigned(bits)
    sources = [d.source(name, part) for name in names]
    d.flow(0, [*names], partial(_whole_written, octets=part.nbytes))

    def function(*parts: np.ndarray) -> np.ndarray:
        result = np.asarray(parts[0]).astype(whole.dtype)
        for i, value in enumerate(parts[1:], 1):
            result = result | (np.asarray(value).astype(whole.dtype) << whole.dtype.type(part.bits * i))
        return result

    return compute(function, d.destination(0, whole), sources)


def _part_written(whole: np.ndarray, *, octets: int, index: int) -> np.ndarray:
    return (whole >> np.uint8(octets * index)) & np.uint8((1 << octets) - 1)


def _whole_written(*parts: np.ndarray, octets: int) -> np.ndarray:
    every = np.uint8((1 << octets) - 1)
    whole = parts[0] & every
    for i, part in enumerate(parts[1:], 1):
        whole = whole | ((part & every) << np.uint8(octets * i))
    return whole


@instruction("cvta")
def _cvta(d: Decoder) -> Step:
    """Shared and local memory are windows of the generic address space; the other spaces are all of it."""
    type_ = d.type()
    to, space = d.flag("to"), d.choose("global", "shared", "shared::cta", "local", "const", "param")
    if space is None or type_.bits != 64:
        raise UnsupportedInstruction("cvta of this state space")
    window = {"shared": SHARED_WINDOW, "shared::cta": SHARED_WINDOW, "local": LOCAL_WINDOW}.get(space, 0)
    target, source = d.destination(0, _U64), d.source(1, _U64)
    base = np.uint64(window)
    if to:
        return compute(lambda a: a - base, target, [source])
    return compute(lambda a: a + base, target, [source])


@instruction("isspacep")
def _isspacep(d: Decoder) -> Step:
    space = d.choose("global", "shared", "shared::cta", "local")
    if space is None:
        raise UnsupportedInstruction("isspacep of this state space")
    wanted = np.uint64({"global": 0, "local": LOCAL_WINDOW}.get(space, SHARED_WINDOW) >> 60)
    return compute(lambda a: a >> np.uint64(60) == wanted, d.destination(0, TYPES["pred"]), [d.source(1, _U64)])


@instruction(
    "membar", "fence", "prefetch", "prefetchu", "nanosleep", "discard", "applypriority", "createpolicy", "pmevent"
)
def _ignored(d: Decoder) -> Step:
    """Without effect where every instruction is executed in order. A cache policy is a number that nothing reads."""
    d.ignore(r".*")
    if d.inst.opcode == "createpolicy":
        return compute(lambda: np.uint64(0), d.destination(0, _U64), [])
    return nothing


@instruction("griddepcontrol")
def _griddepcontrol(d: Decoder) -> Step:
    d.ignore(r".*")
    return nothing
