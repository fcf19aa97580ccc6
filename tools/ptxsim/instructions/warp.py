"""What the lanes of a warp do together: shuffles, votes, matches, reductions."""

import numpy as np

from tools.ptxsim.batch import WARP, Batch
from tools.ptxsim.decoder import Decoder, Mask, Step, instruction
from tools.ptxsim.errors import MissingLanes, UnsupportedInstruction
from tools.ptxsim.instructions.memory import pick
from tools.ptxsim.ptx_types import TYPES

_U32, _PREDICATE = TYPES["u32"], TYPES["pred"]


def require_members(batch: Batch, mask: Mask, members: int) -> np.ndarray:
    """The member mask of each executing lane. Raises MissingLanes unless it names the lane itself, and every lane that it
    names executes too. Lanes beyond the block's threads do not exist, so that naming them is no error.
    """
    if mask is True and (batch.views[members] == np.uint32(0xFFFFFFFF)).all():
        return np.broadcast_to(batch.views[members], batch.lanes)
    lanes = batch.lanes_of(mask)
    named = pick(batch.views[members], lanes, mask)
    warp = batch.warp_id[lanes]
    here = batch.warps_in(mask)[warp]
    exists = batch.warps_in(batch.exists)[warp]
    missing = named & exists & ~here
    own = (named >> (lanes % WARP).astype(np.uint32)) & np.uint32(1)
    if missing.any():
        i = int(np.flatnonzero(missing)[0])
        detail = f"of the mask {int(named[i]):#010x} lanes {int(missing[i]):#010x} do not take part"
        raise MissingLanes(detail, int(lanes[i]))
    if not own.all():
        i = int(np.flatnonzero(own == 0)[0])
        raise MissingLanes(f"the mask {int(named[i]):#010x} does not name the executing lane", int(lanes[i]))
    return named


@instruction("shfl")
def _shfl(d: Decoder) -> Step:
    d.type()
    mode = d.choose("up", "down", "bfly", "idx")
    if mode is None or not d.flag("sync"):
        raise UnsupportedInstruction("shfl without .sync")
    first, _, second = d.operand(0).partition("|")
    value, offset, clamp, members = (d.source(i, _U32) for i in range(1, 5))
    target = d.destination(first.strip(), _U32)
    in_range = d.destination(second.strip(), _PREDICATE) if second else None

    def step(batch: Batch, mask: Mask) -> None:
        named = require_members(batch, mask, members)
        views = batch.views
        if (
            mask is True
            and views[offset].ndim == views[clamp].ndim == views[members].ndim == 0
            and named[0] == 0xFFFFFFFF
        ):
            # Every warp does the same.
            source, valid = _shuffle_source(mode, np.arange(WARP), views[offset], views[clamp])
            if target is not None:
                views[target][:] = np.broadcast_to(views[value], batch.lanes).reshape(-1, WARP)[:, source].reshape(-1)
            if in_range is not None:
                views[in_range].reshape(-1, WARP)[:] = valid
            return
        lanes = batch.lanes_of(mask)
        lane = lanes % WARP
        source, valid = _shuffle_source(mode, lane, pick(views[offset], lanes, mask), pick(views[clamp], lanes, mask))
        here = batch.warps_in(mask)[batch.warp_id[lanes]] & named
        absent = ((here >> source.astype(np.uint32)) & np.uint32(1)) == 0
        if absent.any():
            i = int(np.flatnonzero(absent)[0])
            raise MissingLanes(f"shuffle from lane {int(source[i])}, which does not take part", int(lanes[i]))
        values = np.broadcast_to(views[value], (batch.lanes,))
        shuffled = values[lanes - lane + source]
        if target is not None:
            views[target][lanes] = shuffled
        if in_range is not None:
            views[in_range][lanes] = valid

    return step


def _shuffle_source(mode: str, lane: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lane that each lane reads from, and whether that is the one it asked for; if not it reads its own."""
    b, c = b.astype(np.int64) & 31, c.astype(np.int64)
    segment, bound = (c >> 8) & 31, c & 31
    limit = (lane & segment) | (bound & ~segment)
    if mode == "up":
        source = lane - b
        valid = source >= limit
    else:
        if mode == "idx":
            source = (lane & segment) | (b & ~segment)
        else:
            source = lane + b if mode == "down" else lane ^ b
        valid = source <= limit
    return np.where(valid, source, lane), valid


def _gathered(batch: Batch, flags: np.ndarray, lanes: np.ndarray) -> np.ndarray:
    """The warp's flags as bits, for each lane."""
    every = np.zeros(batch.lanes, bool)
    every[lanes] = flags
    return batch.warps_in(every)[batch.warp_id[lanes]]


@instruction("vote")
def _vote(d: Decoder) -> Step:
    type_ = d.type()
    mode = d.choose("all", "any", "uni", "ballot")
    if mode is None or not d.flag("sync"):
        raise UnsupportedInstruction("vote without .sync")
    target = d.destination(0, type_)
    predicate, negated = d.predicate(1)
    members = d.source(2, _U32)

    def step(batch: Batch, mask: Mask) -> None:
        named = require_members(batch, mask, members)
        lanes = batch.lanes_of(mask)
        flags = pick(batch.views[predicate], lanes, mask) ^ negated
        ballot = _gathered(batch, flags, lanes) & named
        named = named & batch.warps_in(batch.exists)[batch.warp_id[lanes]]
        everyone, nobody = ballot == named, ballot == 0
        result = {"ballot": ballot, "all": everyone, "any": ~nobody, "uni": everyone | nobody}[mode]
        if target is not None:
            batch.views[target][lanes] = result

    return step


@instruction("activemask")
def _activemask(d: Decoder) -> Step:
    d.type()
    target = d.destination(0, _U32)

    def step(batch: Batch, mask: Mask) -> None:
        lanes = batch.lanes_of(mask)
        if target is not None:
            batch.views[target][lanes] = batch.warps_in(mask)[batch.warp_id[lanes]]

    return step


@instruction("elect")
def _elect(d: Decoder) -> Step:
    """The lowest lane of the mask is the leader."""
    if not d.flag("sync"):
        raise UnsupportedInstruction("elect without .sync")
    first, _, second = d.operand(0).partition("|")
    target = d.destination(first.strip(), _U32)
    elected = d.destination(second.strip(), _PREDICATE)
    members = d.source(1, _U32)

    def step(batch: Batch, mask: Mask) -> None:
        named = require_members(batch, mask, members)
        lanes = batch.lanes_of(mask)
        leader = np.bitwise_count((named & (~named + np.uint32(1))) - np.uint32(1))
        if target is not None:
            batch.views[target][lanes] = leader
        if elected is not None:
            batch.views[elected][lanes] = lanes % WARP == leader

    return step


@instruction("match")
def _match(d: Decoder) -> Step:
    type_ = d.type()
    mode = d.choose("any", "all")
    if mode is None or not d.flag("sync"):
        raise UnsupportedInstruction("match without .sync")
    first, _, second = d.operand(0).partition("|")
    target = d.destination(first.strip(), _U32)
    agree = d.destination(second.strip(), _PREDICATE) if second else None
    value, members = d.source(1, type_), d.source(2, _U32)

    def step(batch: Batch, mask: Mask) -> None:
        named = require_members(batch, mask, members)
        lanes = batch.lanes_of(mask)
        values = np.broadcast_to(batch.views[value], (batch.lanes,))
        rows = values.reshape(-1, WARP)
        equal = rows[:, :, None] == rows[:, None, :]
        bits = np.packbits(equal, axis=2, bitorder="little").view("<u4").reshape(-1)[lanes]
        same = bits & named & batch.warps_in(mask)[batch.warp_id[lanes]]
        if mode == "all":
            everyone = same == (named & batch.warps_in(mask)[batch.warp_id[lanes]])
            same = np.where(everyone, same, np.uint32(0))
            if agree is not None:
                batch.views[agree][lanes] = everyone
        if target is not None:
            batch.views[target][lanes] = same

    return step


@instruction("redux")
def _redux(d: Decoder) -> Step:
    type_ = d.type()
    ufuncs: dict[str, np.ufunc] = {
        "add": np.add,
        "min": np.minimum,
        "max": np.maximum,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
    }
    name = d.choose(*ufuncs)
    if name is None or not d.flag("sync") or type_.bits != 32 or type_.is_float:
        raise UnsupportedInstruction("this form of redux")
    target, value, members = d.destination(0, type_), d.source(1, type_), d.source(2, _U32)

    def step(batch: Batch, mask: Mask) -> None:
        named = require_members(batch, mask, members)
        lanes = batch.lanes_of(mask)
        values = pick(batch.views[value], lanes, mask)
        key = (batch.warp_id[lanes].astype(np.uint64) << np.uint64(32)) | named
        groups, which = np.unique(key, return_inverse=True)
        order = np.argsort(which, kind="stable")
        starts = np.searchsorted(which[order], np.arange(len(groups)))
        reduced = ufuncs[name].reduceat(values[order], starts, dtype=type_.dtype)
        if target is not None:
            batch.views[target][lanes] = reduced[which]

    return step
