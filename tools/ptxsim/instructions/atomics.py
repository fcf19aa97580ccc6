"""Atomic read-modify-writes of global and shared memory: lanes take turns in order."""

from collections.abc import Callable

import numpy as np

from tools.ptxsim.batch import Batch
from tools.ptxsim.decoder import Decoder, Mask, Step, instruction, vector
from tools.ptxsim.errors import UnsupportedInstruction
from tools.ptxsim.instructions.memory import IGNORED, address_slot, count_global, lane_addresses, pick
from tools.ptxsim.ptx_types import Type
from tools.ptxsim.rounding import from_bfloat16, to_bfloat16

_SIMPLE: dict[str, Callable] = {
    "add": np.add,
    "min": np.fmin,
    "max": np.fmax,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "exch": lambda old, new: new,
    "inc": lambda old, top: np.where(old >= top, np.zeros_like(old), old + old.dtype.type(1)),
    "dec": lambda old, top: np.where((old == 0) | (old > top), top, old - old.dtype.type(1)),
}


@instruction("atom")
def _atom(d: Decoder) -> Step:
    return _read_modify_write(d, returns=True)


@instruction("red")
def _red(d: Decoder) -> Step:
    return _read_modify_write(d, returns=False)


def _read_modify_write(d: Decoder, *, returns: bool) -> Step:
    type_ = d.type()
    space = (d.choose("global", "shared", "shared::cta") or "generic").partition("::")[0]
    name = d.choose(*_SIMPLE, "cas")
    count = int((d.choose("v2", "v4", "v8") or "v1")[1:])
    d.ignore(IGNORED)
    if name is None or space == "generic" or (name == "cas" and count > 1):
        raise UnsupportedInstruction("this form of an atomic")
    first = 1 if returns else 0
    targets = [d.destination(t, type_) for t in vector(d.operand(0))] if returns else []
    slot = address_slot(d, space, first, type_.nbytes)
    operands = [[d.source(s, type_) for s in vector(d.operand(first + 1))]]
    if name == "cas":
        operands.append([d.source(first + 2, type_)])
    function = _function(name, type_)

    def step(batch: Batch, mask: Mask) -> None:
        lanes = batch.lanes_of(mask)
        addresses = lane_addresses(batch, slot, lanes, mask)
        if space == "global":
            count_global(batch, addresses, lanes, type_.nbytes * count, store=True)
        for k in range(count):
            values = [pick(batch.views[operand[k]], lanes, mask) for operand in operands]
            values = [np.ascontiguousarray(v).reshape(-1, type_.pack) for v in values] if type_.pack > 1 else values
            here = addresses + np.uint64(type_.nbytes * k)
            old = _apply(batch, space, here, lanes, type_, function, values)
            if returns and (target := targets[k]) is not None:
                batch.views[target].reshape(batch.lanes, -1)[lanes] = old.reshape(len(lanes), -1)

    return step


def _function(name: str, type_: Type) -> Callable:
    if name == "cas":
        return lambda old, compare, new: np.where(old == compare, new, old)
    function = _SIMPLE[name]
    if type_.is_bfloat:
        return lambda old, value: to_bfloat16(function(from_bfloat16(old), from_bfloat16(value)))
    return function


def _apply(
    batch: Batch,
    space: str,
    addresses: np.ndarray,
    lanes: np.ndarray,
    type_: Type,
    function: Callable,
    values: list[np.ndarray],
) -> np.ndarray:
    """The old values. Lanes at one address go in turns: the first of each address, then the second, and so on."""
    old = np.empty((len(lanes), type_.pack) if type_.pack > 1 else len(lanes), type_.dtype)
    for words, index, part in _storage(batch, space, addresses, lanes, type_.nbytes):
        for turn in _turns(index):
            chosen = part[turn]
            before = words[index[turn]].view(type_.dtype)
            if type_.pack > 1:
                before = before.reshape(-1, type_.pack)
            old[chosen] = before
            after = np.ascontiguousarray(function(before, *(v[chosen] for v in values)).astype(type_.dtype))
            words[index[turn]] = after.view(words.dtype).reshape(-1)
    return old


def _storage(
    batch: Batch, space: str, addresses: np.ndarray, lanes: np.ndarray, nbytes: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Words, each access's index there, and which accesses those are."""
    if space == "shared":
        return [(*batch.shared.atomic(addresses, lanes, nbytes), np.arange(len(lanes)))]
    parts = []
    for mapping, part in batch.launch.memory.split(addresses, lanes, nbytes, store=True):
        found = mapping.words(nbytes)
        if found is None:
            raise UnsupportedInstruction("an atomic on a mapping whose storage is not aligned")
        index = ((addresses[part] - np.uint64(found[0])) // np.uint64(nbytes)).view(np.int64)
        parts.append((found[1], index, np.arange(len(lanes))[part]))
    return parts


def _turns(index: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(index, kind="stable")
    grouped = index[order]
    starts = np.flatnonzero(np.concatenate(([True], grouped[1:] != grouped[:-1])))
    rank = np.arange(len(index)) - np.repeat(starts, np.diff(np.append(starts, len(index))))
    return [order[rank == turn] for turn in range(int(rank.max()) + 1)]
