"""cp.async: copies from global to shared memory that are visible only after the wait."""

from dataclasses import dataclass

import numpy as np

from tools.ptxsim.batch import Batch
from tools.ptxsim.decoder import Decoder, Mask, Step, instruction
from tools.ptxsim.errors import UnsupportedInstruction
from tools.ptxsim.instructions.memory import address_slot, lane_addresses, load, pick
from tools.ptxsim.ptx_types import TYPES
from tools.ptxsim.syntax import integer_literal

_U32 = TYPES["u32"]


@dataclass
class Copy:
    """Of each lane: its shared address, the bytes on their way, and the number of the group they belong to."""

    lanes: np.ndarray
    addresses: np.ndarray
    octets: np.ndarray
    group: np.ndarray


@instruction("cp")
def _cp(d: Decoder) -> Step:
    if not d.flag("async"):
        raise UnsupportedInstruction("cp without .async")
    if d.flag("commit_group"):
        return _commit
    if d.flag("wait_all"):
        return _wait(None)
    if d.flag("wait_group"):
        groups = integer_literal(d.operand(0))
        if groups is None:
            raise UnsupportedInstruction("wait_group of a register")
        return _wait(groups)
    d.ignore(r"ca|cg|L2::\w+")
    spaces = d.choose("shared", "shared::cta"), d.choose("global")
    nbytes = integer_literal(d.operand(2))
    if None in spaces or nbytes not in (4, 8, 16):
        raise UnsupportedInstruction("this form of cp.async")
    assert nbytes is not None
    target, source = address_slot(d, "shared", 0, nbytes), address_slot(d, "global", 1, 4)
    size = d.source(3, _U32) if len(d.inst.operands) > 3 else None
    if len(d.inst.operands) > 4:
        raise UnsupportedInstruction("cp.async with a cache policy")

    def step(batch: Batch, mask: Mask) -> None:
        lanes = batch.lanes_of(mask)
        to = lane_addresses(batch, target, lanes, mask)
        start = lane_addresses(batch, source, lanes, mask)
        count = pick(batch.views[size], lanes, mask) if size is not None else np.full(len(lanes), nbytes, np.uint32)
        octets = np.zeros((len(lanes), nbytes), np.uint8)
        for amount in np.unique(count):
            if amount == 0:
                continue
            if amount not in (4, 8, 16) or amount > nbytes:
                raise UnsupportedInstruction(f"cp.async of {amount} of {nbytes} bytes")
            chosen = np.flatnonzero(count == amount)
            width = min(int(amount), 8)
            words = load(batch, "global", start[chosen], lanes[chosen], width, int(amount) // width)
            octets[chosen, : int(amount)] = np.stack(words, axis=1).view(np.uint8)
        batch.shared.begin_copy(to, lanes, nbytes)
        batch.copies.append(Copy(lanes, to, octets, batch.copy_groups[lanes]))

    return step


def _commit(batch: Batch, mask: Mask) -> None:
    batch.copy_groups[batch.lanes_of(mask)] += 1


def _wait(pending: int | None) -> Step:
    """All but the latest `pending` groups of each lane arrive; with None, uncommitted copies too."""

    def step(batch: Batch, mask: Mask) -> None:
        left = []
        for copy in batch.copies:
            done = np.broadcast_to(mask, (batch.lanes,))[copy.lanes]
            if pending is not None:
                done = done & (copy.group < batch.copy_groups[copy.lanes] - pending)
            if done.any():
                width = min(copy.octets.shape[1], 8)
                words = np.ascontiguousarray(copy.octets[done]).view(f"u{width}")
                columns = [np.ascontiguousarray(words[:, k]) for k in range(words.shape[1])]
                batch.shared.store(copy.addresses[done], copy.lanes[done], width, columns)
            if not done.all():
                rest = ~done
                left.append(Copy(copy.lanes[rest], copy.addresses[rest], copy.octets[rest], copy.group[rest]))
        batch.copies = left

    return step
