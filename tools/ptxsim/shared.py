"""A batch's shared memory: bytes, which of them were written, and a happens-before race detector.

Each warp has a vector clock: `clocks[b, w, v]` is the latest time of warp v that warp w of block b is ordered after. A
barrier joins the clocks of the warps that meet there and starts a new time for each; `bar.warp.sync` starts one for its own
warp. A memory cell remembers its last store and its last two loads by different warps as tags: time and thread. An access
races with a tag that its warp's clock has not seen (FastTrack, Flanagan and Freund 2009). Cells are as wide as the kernel's
narrowest access to shared memory, so disjoint accesses never share one.
"""

from collections.abc import Callable

import numpy as np

from tools.ptxsim.errors import Misaligned, OutOfBounds, UninitialisedRead

_THREAD_BITS = 10
_ATOMIC = 1 << _THREAD_BITS
_TIME_SHIFT = _THREAD_BITS + 1


class SharedMemory:
    """Of `blocks` blocks, `nbytes` each. `block`, `thread` and `warp` are of each lane, in the lane's block."""

    def __init__(
        self,
        blocks: int,
        nbytes: int,
        cell: int,
        lanes: tuple[np.ndarray, np.ndarray, np.ndarray],
        race: Callable[[str], None],
    ) -> None:
        self.nbytes, self.cell, self._race = nbytes, cell, race
        self._stride = (nbytes + 15) // 16 * 16
        self._bytes = np.full(blocks * self._stride, 0xAB, np.uint8)
        cells = blocks * self._stride // cell
        self._written = np.zeros(cells, bool)
        self._writer, self._reader, self._other_reader = (np.zeros(cells, np.int64) for _ in range(3))
        self._block, self._thread, self._warp = (array.astype(np.int64) for array in lanes)
        self._base = self._block * self._stride
        warps = int(self._warp.max()) + 1
        self.clocks = np.zeros((blocks, warps, warps), np.int64)
        self._row = (self._block * warps + self._warp) * warps
        self.advance(np.ones((blocks, warps), bool))

    # Order.

    def advance(self, warps: np.ndarray) -> None:
        """Start a new time for these warps (bool, blocks x warps)."""
        block, warp = np.nonzero(warps)
        self.clocks[block, warp, warp] += 1
        self._update()

    def join(self, blocks: np.ndarray | slice, participants: np.ndarray | None = None) -> None:
        """A barrier of these blocks, or of the `participants` (warps) of one block."""
        clocks = self.clocks[blocks]
        count = clocks.shape[-1]
        if participants is None:
            self.clocks[blocks] = clocks.max(axis=1, keepdims=True) + np.eye(count, dtype=np.int64)
        else:
            joined = clocks[:, participants].max(axis=1)
            for warp in np.flatnonzero(participants):
                clocks[:, warp] = joined
                clocks[:, warp, warp] += 1
            self.clocks[blocks] = clocks
        self._update()

    def _update(self) -> None:
        own = self.clocks.reshape(-1)[self._row + self._warp]
        self._tag = (own << _TIME_SHIFT) | self._thread
        # Every warp has seen the tags below this one.
        seen = (self.clocks - np.eye(self.clocks.shape[-1], dtype=np.int64)).min()
        self._settled = (int(seen) + 1) << _TIME_SHIFT

    def _unordered(self, tags: np.ndarray, lanes: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Where a tag is of another warp and unordered, and where of another lane of the warp; None if nowhere."""
        if tags.size == 0 or int(tags.max()) < self._settled:
            return None
        warp, mine = self._warp[lanes], self._tag[lanes]
        shape = (-1,) + (1,) * (tags.ndim - 1)
        foreign = ((tags ^ mine.reshape(shape)) & ~_ATOMIC) != 0
        if not ((tags >= self._settled) & foreign).any():
            return None
        their_warp = (tags & (_ATOMIC - 1)) >> 5
        seen = self.clocks.reshape(-1)[self._row[lanes].reshape(shape) + their_warp]
        other = their_warp != warp.reshape(shape)
        unseen = (tags >> _TIME_SHIFT) > seen
        same_time = (tags >> _TIME_SHIFT) == (mine >> _TIME_SHIFT).reshape(shape)
        within = ~other & same_time & ((tags ^ mine.reshape(shape)) & (_ATOMIC - 1) != 0)
        return other & unseen, within

    # Accesses. `addresses` are offsets into the block's shared memory, one for each of `lanes`.

    def load(self, addresses: np.ndarray, lanes: np.ndarray, width: int, count: int) -> list[np.ndarray]:
        """`count` words of `width` bytes a lane. Raises OutOfBounds, Misaligned or UninitialisedRead."""
        at = self._locate(addresses, lanes, width * count)
        cells = self._cells(at, width * count)
        if not (written := self._written.take(cells)).all():
            lane = int(lanes[np.argwhere(~written)[0][0]])
            raise UninitialisedRead("this block did not write all of what it loads from shared memory", lane)
        self._record_load(cells, lanes)
        return self._words(at, width, count)

    def store(self, addresses: np.ndarray, lanes: np.ndarray, width: int, values: list[np.ndarray]) -> None:
        at = self._locate(addresses, lanes, width * len(values))
        cells = self._cells(at, width * len(values))
        before = self._words(at, width, len(values))
        self._record_store(cells, lanes, lambda: _differ(before, values))
        words = self._bytes.view(f"u{width}")
        for k, value in enumerate(values):
            words[at // width + k] = value
        self._written[cells] = True
        after = self._words(at, width, len(values))
        if _differ(after, values).any():
            self._race("WW")
        elif ((self._writer.take(cells) ^ _column(self._tag[lanes], cells)) & (_ATOMIC - 32)).any():
            self._race("redundant")

    def begin_copy(self, addresses: np.ndarray, lanes: np.ndarray, nbytes: int) -> None:
        """An asynchronous copy is on its way: what it will overwrite can no longer be read."""
        at = self._locate(addresses, lanes, nbytes)
        cells = self._cells(at, nbytes)
        self._record_store(cells, lanes, lambda: np.ones(len(lanes), bool))
        self._written[cells] = False

    def atomic(self, addresses: np.ndarray, lanes: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The words of `width` bytes and each lane's index there, for a read-modify-write."""
        at = self._locate(addresses, lanes, width)
        cells = self._cells(at, width)
        if not (written := self._written.take(cells)).all():
            lane = int(lanes[np.argwhere(~written)[0][0]])
            raise UninitialisedRead("an atomic on shared memory that this block did not write", lane)
        self._record_store(cells, lanes, lambda: np.ones(len(lanes), bool), atomic=True)
        return self._bytes.view(f"u{width}"), at // width

    def _locate(self, addresses: np.ndarray, lanes: np.ndarray, nbytes: int) -> np.ndarray:
        addresses = addresses.astype(np.int64)
        if (wrong := addresses & (nbytes - 1)).any():
            i = int(np.flatnonzero(wrong)[0])
            raise Misaligned(f"shared address {int(addresses[i])} is not a multiple of {nbytes}", int(lanes[i]))
        if int(addresses.min()) < 0 or int(addresses.max()) + nbytes > self.nbytes:
            i = int(np.flatnonzero((addresses < 0) | (addresses + nbytes > self.nbytes))[0])
            detail = f"{nbytes} bytes at {int(addresses[i])} of {self.nbytes} bytes of shared memory"
            raise OutOfBounds(detail, int(lanes[i]))
        return addresses + self._base[lanes]

    def _cells(self, at: np.ndarray, nbytes: int) -> np.ndarray:
        first = at // self.cell
        return first if nbytes == self.cell else first[:, None] + np.arange(nbytes // self.cell)

    def _words(self, at: np.ndarray, width: int, count: int) -> list[np.ndarray]:
        words, first = self._bytes.view(f"u{width}"), at // width
        return [words.take(first + k) for k in range(count)]

    def _record_load(self, cells: np.ndarray, lanes: np.ndarray) -> None:
        if (found := self._unordered(self._writer.take(cells), lanes)) is not None:
            self._report(found, "RAW")
        mine = _column(self._tag[lanes], cells)
        earlier = self._reader.take(cells)
        self._reader[cells] = mine
        if (found := self._unordered(earlier, lanes)) is not None:
            self._other_reader[cells[found[0]]] = earlier[found[0]]
        # Of the warps that load one cell in this very instruction, only the last is in `_reader`.
        lost = ((self._reader.take(cells) ^ mine) & (_ATOMIC - 32)) != 0
        if lost.any():
            self._other_reader[cells[lost]] = np.broadcast_to(mine, cells.shape)[lost]

    def _record_store(
        self, cells: np.ndarray, lanes: np.ndarray, differ: Callable[[], np.ndarray], *, atomic: bool = False
    ) -> None:
        earlier = self._writer.take(cells)
        if (found := self._unordered(earlier, lanes)) is not None:
            if atomic:
                plain = (earlier & _ATOMIC) == 0
                found = (found[0] & plain, found[1] & plain)
            change = _column(differ(), cells)
            if (found[0] & ~change).any():
                self._race("redundant")
            self._report((found[0] & change, found[1] & change), "WW")
        for readers in (self._reader, self._other_reader):
            if (found := self._unordered(readers.take(cells), lanes)) is not None:
                self._report(found, "WAR")
        self._writer[cells] = _column(self._tag[lanes] | (_ATOMIC if atomic else 0), cells)

    def _report(self, found: tuple[np.ndarray, np.ndarray], kind: str) -> None:
        if found[0].any():
            self._race(kind)
        if found[1].any():
            self._race("warp")


def _column(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    return values if cells.ndim == 1 else values[:, None]


def _differ(have: list[np.ndarray], want: list[np.ndarray]) -> np.ndarray:
    """Per lane, whether any word differs."""
    differ = have[0] != want[0]
    for h, w in zip(have[1:], want[1:]):
        differ |= h != w
    return differ
