"""The state of some blocks of a launch while they run together, one lane a thread."""

from typing import TYPE_CHECKING

import numpy as np

from tools.ptxsim.decoder import Mask
from tools.ptxsim.errors import UninitialisedRead
from tools.ptxsim.local import LocalMemory
from tools.ptxsim.report import Race
from tools.ptxsim.shared import SharedMemory

if TYPE_CHECKING:
    from tools.ptxsim.engine import Launch

WARP = 32
IDLE = np.int32(2**31 - 1)  # the pc of a lane that does not run: exited, waiting, or not a thread


class Batch:
    """`lanes` is a multiple of 32 for each block; those beyond the block's threads do not exist and never run.

    block, thread, warp: of each lane, the block's index in the batch and the thread's and warp's in the block.
    pcs: of each lane that is not in the active set; waiting: the pc of the barrier it waits at, or -1.
    """

    def __init__(self, launch: "Launch", blocks: np.ndarray) -> None:
        program = launch.program
        self.launch, self.program, self.blocks = launch, program, blocks
        self.threads = int(np.prod(launch.block))
        self.padded = (self.threads + WARP - 1) // WARP * WARP
        self.lanes = len(blocks) * self.padded
        self.block = np.repeat(np.arange(len(blocks)), self.padded)
        self.thread = np.tile(np.arange(self.padded), len(blocks))
        self.warp = self.thread // WARP
        self.exists = self.thread < self.threads
        self.warp_id = np.arange(self.lanes) // WARP  # in the batch
        self.all_lanes = np.arange(self.lanes)
        self.pc = program.entry
        self.pcs = np.where(self.exists, np.int32(program.entry), IDLE)
        self.waiting = np.full(self.lanes, -1, np.int32)
        self.barrier = np.zeros((2, self.lanes), np.int64)  # of a waiting lane: the barrier's id and thread count
        self.arrivals: dict[tuple[int, int], list[np.ndarray]] = {}
        self.calls: list[np.ndarray] = []  # return pcs, one array a depth
        self.depth = np.zeros(self.lanes, np.int64)
        self.active: Mask = True
        self.active_lanes = self.all_lanes
        self.clock = np.zeros((), np.uint64)
        self.shared = SharedMemory(
            len(blocks), launch.shared_bytes, program.shared_cell, (self.block, self.thread, self.warp), self.race
        )
        self.local = LocalMemory(self.lanes, program.local_bytes)
        self.copies: list = []  # asynchronous copies in flight
        self.copy_groups = np.zeros(self.lanes, np.int64)
        # Of registers that may be read before they are written: the bytes that were, as bits. All set is wholly written.
        self.initialised = {register: np.zeros(self.lanes, np.uint8) for register in program.tracked}
        self.rows = program.layout.rows(self.lanes)
        self.views = program.layout.views(self)

    def lanes_of(self, mask: Mask) -> np.ndarray:
        if mask is True:
            return self.all_lanes
        return self.active_lanes if mask is self.active else np.flatnonzero(mask)

    def race(self, kind: str) -> None:
        """Note a race of the current instruction."""
        self.launch.races.add(Race(kind, self.program.instructions[self.pc].text, self.program.kernel.name))

    def require_initialised(self, register: int, mask: Mask) -> None:
        name, octets = self.program.register_names[register]
        every = np.uint8((1 << octets) - 1)
        missing = ((self.initialised[register] & every) != every) & mask
        if missing.any():
            raise UninitialisedRead(f"register {name} was not written", int(np.flatnonzero(missing)[0]))

    def warps_in(self, mask: Mask) -> np.ndarray:
        """The lanes of each warp that are in the mask, as bits (uint32, one a warp)."""
        if mask is True:
            return np.full(self.lanes // WARP, 0xFFFFFFFF, np.uint32)
        return np.packbits(mask.reshape(-1, WARP), axis=1, bitorder="little").view("<u4")[:, 0]

    def coordinates(self, lane: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """The block and thread of a lane, as (x, y, z)."""
        grid, block = self.launch.grid, self.launch.block
        return _unravel(int(self.blocks[self.block[lane]]), grid), _unravel(int(self.thread[lane]), block)

    def special(self, name: str) -> np.ndarray:
        """A special register: an array, or 0-d if it is the same for all lanes."""
        base, _, axis = name.lstrip("%").partition(".")
        launch, index = self.launch, "xyz".find(axis)
        if base in ("tid", "ctaid"):
            size = launch.block if base == "tid" else launch.grid
            linear = self.thread if base == "tid" else self.blocks[self.block]
            return linear // int(np.prod(size[:index])) % size[index]
        lane = (self.thread % WARP).astype(np.uint64)
        bit = np.uint64(1) << lane
        below = bit - np.uint64(1)
        every = np.uint64(0xFFFFFFFF)
        values = {
            "laneid": lane,
            "warpid": self.warp,
            "lanemask_eq": bit,
            "lanemask_lt": below,
            "lanemask_le": below | bit,
            "lanemask_gt": every & ~(below | bit),
            "lanemask_ge": every & ~below,
        }
        if base in values:
            return values[base]
        scalars = {
            "ntid": launch.block[index],
            "nctaid": launch.grid[index],
            "nwarpid": self.padded // WARP,
            "WARP_SZ": WARP,
            "dynamic_smem_size": launch.dynamic_shared,
            "total_smem_size": launch.shared_bytes,
        }
        return np.full(self.lanes, scalars.get(base, 0))


def _unravel(index: int, size: tuple[int, int, int]) -> tuple[int, int, int]:
    return index % size[0], index // size[0] % size[1], index // (size[0] * size[1])
