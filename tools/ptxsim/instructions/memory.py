"""Loads and stores."""

import numpy as np

from tools.ptxsim.batch import Batch
from tools.ptxsim.decoder import Address, Decoder, Mask, Step, instruction, vector
from tools.ptxsim.errors import PtxError, UnsupportedInstruction
from tools.ptxsim.ptx_types import Type, unsigned
from tools.ptxsim.traffic import count_access

# Generic addresses: global memory is below, far from both windows.
SHARED_WINDOW = 1 << 60
LOCAL_WINDOW = 2 << 60
_WINDOW_BITS = 60

_SPACES = ("global", "shared", "shared::cta", "local", "param", "const", "param::entry", "param::func")
IGNORED = (
    r"nc|ca|cg|cs|lu|cv|wb|wt|volatile|relaxed|acquire|release|acq_rel|weak|sys|gpu|cta|cluster|unified|noftz"
    r"|L1::\w+|L2::\w+|level::\w+"
)


@instruction("ld", "ldu")
def _ld(d: Decoder) -> Step:
    type_, count, space = _form(d)
    targets = [d.destination(name, _storage(type_)) for name in vector(d.operand(0))]
    address = d.address(1)
    if len(targets) != count:
        raise UnsupportedInstruction(f"{len(targets)} registers for {count} elements")
    dtype = _storage(type_).dtype
    if space == "param" and address.variable is not None:
        offset = d.program.param_offset(address.variable)
        if offset is not None:
            return _load_argument(d, targets, dtype, offset + address.offset)
    space, slot = _resolve(d, space, address)
    nbytes = type_.nbytes * count
    _note_cells(d, space, nbytes)

    def step(batch: Batch, mask: Mask) -> None:
        lanes = batch.lanes_of(mask)
        addresses = lane_addresses(batch, slot, lanes, mask)
        words = load(batch, space, addresses, lanes, type_.nbytes, count)
        for target, value in zip(targets, words):
            if target is None:
                continue
            if mask is True:
                np.copyto(batch.views[target], value.view(dtype), casting="unsafe")
            else:
                batch.views[target][lanes] = value.view(dtype)

    return step


@instruction("st")
def _st(d: Decoder) -> Step:
    type_, count, space = _form(d)
    if space == "const":
        raise UnsupportedInstruction("a store to constant memory")
    storage = unsigned(type_.bits)
    sources = [d.source(name, storage) for name in vector(d.operand(1))]
    if len(sources) != count:
        raise UnsupportedInstruction(f"{len(sources)} registers for {count} elements")
    space, slot = _resolve(d, space, d.address(0))
    nbytes = type_.nbytes * count
    _note_cells(d, space, nbytes)

    def step(batch: Batch, mask: Mask) -> None:
        lanes = batch.lanes_of(mask)
        addresses = lane_addresses(batch, slot, lanes, mask)
        values = [pick(batch.views[source], lanes, mask) for source in sources]
        store(batch, space, addresses, lanes, type_.nbytes, values)

    return step


def _storage(type_: Type) -> Type:
    """A load extends by the type's sign and keeps a float's bits."""
    return type_ if type_.is_signed else unsigned(type_.bits)


def _form(d: Decoder) -> tuple[Type, int, str]:
    type_ = d.type()
    if type_.is_predicate or type_.pack > 1:
        raise UnsupportedInstruction(f"memory access as {type_.name}")
    count = int((d.choose("v2", "v4", "v8") or "v1")[1:])
    space = d.choose(*_SPACES) or "generic"
    if d.flag("mmio"):
        raise UnsupportedInstruction("mmio")
    d.ignore(IGNORED)
    return type_, count, space.partition("::")[0]


def _load_argument(d: Decoder, targets: list[int | None], dtype: np.dtype, offset: int) -> Step:
    """An argument of the kernel, the same for every lane."""
    if offset < 0 or offset + len(targets) * dtype.itemsize > d.program.param_bytes:
        raise UnsupportedInstruction("a load beyond the kernel's parameters")

    def step(batch: Batch, mask: Mask) -> None:
        values = np.frombuffer(batch.launch.params, dtype, len(targets), offset)
        for target, value in zip(targets, values):
            if target is not None:
                np.copyto(batch.views[target], value, where=mask)

    return step


def _resolve(d: Decoder, space: str, address: Address) -> tuple[str, tuple[int, int]]:
    """The space that holds it (a device function's parameters are local, constants global), and slot and offset."""
    in_kernel = d.program.unit_at(d.pc).function.is_entry
    of_kernel = in_kernel and address.slot is not None
    space = {"param": "constant" if of_kernel else "local", "const": "constant"}.get(space, space)
    offset = address.offset
    if address.slot is not None:
        return space, (address.slot, offset)
    if address.variable is not None:
        offset += d.program.address(address.variable)
    return space, (d.layout.constant(np.array(offset % (1 << 64), np.uint64)), 0)


def _note_cells(d: Decoder, space: str, nbytes: int) -> None:
    """The race detectors' cells are as wide as the narrowest access."""
    if space in ("shared", "generic"):
        d.program.shared_cell = min(d.program.shared_cell, nbytes)
    if space in ("global", "generic"):
        d.program.global_cell = min(d.program.global_cell, nbytes)


def address_slot(d: Decoder, space: str, operand: int, nbytes: int) -> tuple[int, int]:
    """Slot and offset of an address in global or shared memory that is accessed `nbytes` at a time."""
    _, slot = _resolve(d, space, d.address(operand))
    _note_cells(d, space, nbytes)
    return slot


def pick(values: np.ndarray, lanes: np.ndarray, mask: Mask) -> np.ndarray:
    """The lanes' values; a constant repeats."""
    if values.ndim == 0:
        return np.broadcast_to(values, lanes.shape)
    return values if mask is True else values[lanes]


def lane_addresses(batch: Batch, slot: tuple[int, int], lanes: np.ndarray, mask: Mask) -> np.ndarray:
    """The lanes' addresses (uint64), of a slot and an offset."""
    base = pick(batch.views[slot[0]], lanes, mask)
    if slot[1] == 0:
        return base if base.dtype == np.uint64 else base.astype(np.uint64)
    if base.dtype == np.uint32:  # 32-bit addresses of shared memory wrap at 32 bits
        return (base + np.uint32(slot[1] % (1 << 32))).astype(np.uint64)
    return base + np.uint64(slot[1] % (1 << 64))


def load(
    batch: Batch, space: str, addresses: np.ndarray, lanes: np.ndarray, width: int, count: int
) -> list[np.ndarray]:
    """`count` words of `width` bytes for each lane, unsigned."""
    if space == "shared":
        return batch.shared.load(addresses, lanes, width, count)
    if space == "local":
        return batch.local.load(addresses, lanes, width, count)
    if space in ("global", "constant"):
        return _load_global(batch, addresses, lanes, width, count, counted=space == "global")
    results = [np.empty(len(lanes), f"u{width}") for _ in range(count)]
    for part, chosen, offsets in _windows(addresses):
        for result, words in zip(results, load(batch, part, offsets, lanes[chosen], width, count)):
            result[chosen] = words
    return results


def store(
    batch: Batch, space: str, addresses: np.ndarray, lanes: np.ndarray, width: int, values: list[np.ndarray]
) -> None:
    if space == "shared":
        batch.shared.store(addresses, lanes, width, values)
    elif space == "local":
        batch.local.store(addresses, lanes, width, values)
    elif space == "global":
        _store_global(batch, addresses, lanes, width, values)
    else:
        for part, chosen, offsets in _windows(addresses):
            store(batch, part, offsets, lanes[chosen], width, [value[chosen] for value in values])


def _windows(addresses: np.ndarray) -> list[tuple[str, np.ndarray | slice, np.ndarray]]:
    """Generic addresses by state space."""
    window = addresses >> np.uint64(_WINDOW_BITS)
    parts: list[tuple[str, np.ndarray | slice, np.ndarray]] = []
    for value in np.unique(window):
        if value > 2:
            raise PtxError(f"a generic address in no state space: {int(addresses[window == value][0]):#x}")
        chosen = np.flatnonzero(window == value)
        offsets = addresses[chosen] - np.uint64(int(value) << _WINDOW_BITS)
        parts.append((("global", "shared", "local")[int(value)], chosen, offsets))
    return parts


def _load_global(
    batch: Batch, addresses: np.ndarray, lanes: np.ndarray, width: int, count: int, *, counted: bool
) -> list[np.ndarray]:
    nbytes = width * count
    parts = batch.launch.memory.split(addresses, lanes, nbytes)
    if counted:
        count_global(batch, addresses, lanes, nbytes, store=False)
    results = None if len(parts) == 1 else [np.empty(len(lanes), f"u{width}") for _ in range(count)]
    for mapping, part in parts:
        here = addresses[part]
        if (
            mapping.writable
            and counted
            and batch.launch.block_races.load(mapping, here, nbytes, batch.blocks[batch.block[lanes[part]]])
        ):
            batch.race("global")
        words = [mapping.load(here + np.uint64(width * k) if k else here, width) for k in range(count)]
        if results is None:
            return words
        for result, word in zip(results, words):
            result[part] = word
    assert results is not None
    return results


def _store_global(batch: Batch, addresses: np.ndarray, lanes: np.ndarray, width: int, values: list[np.ndarray]) -> None:
    nbytes = width * len(values)
    count_global(batch, addresses, lanes, nbytes, store=True)
    for mapping, part in batch.launch.memory.split(addresses, lanes, nbytes, store=True):
        here = addresses[part]
        at = [here + np.uint64(width * k) for k in range(len(values))]
        changes = np.zeros(len(here), bool)
        for k, value in enumerate(values):
            changes |= mapping.load(at[k], width) != value[part]
        races, several = batch.launch.block_races.store(
            mapping, here, nbytes, batch.blocks[batch.block[lanes[part]]], changes
        )
        lost = np.zeros(len(here), bool)
        for k, value in enumerate(values):
            mapping.store(at[k], width, value[part])
        for k, value in enumerate(values):
            lost |= mapping.load(at[k], width) != value[part]
        if races or (lost & several).any():
            batch.race("global")
        if (lost & ~several).any():
            batch.race("WW")


def count_global(batch: Batch, addresses: np.ndarray, lanes: np.ndarray, nbytes: int, *, store: bool) -> None:
    """Add one global access to the report."""
    if len(lanes) == batch.lanes:
        count_access(batch.launch.report, addresses, None, nbytes, batch.lanes // 32, store=store)
        return
    warp = batch.warp_id[lanes]
    warps = 1 + int(np.count_nonzero(warp[1:] != warp[:-1]))
    count_access(batch.launch.report, addresses, warp, nbytes, warps, store=store)
