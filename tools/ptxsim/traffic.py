"""Global accesses of one launch: what a profiler would count, and races between blocks."""

import numpy as np

from tools.ptxsim.memory import Mapping
from tools.ptxsim.report import Report

_NOBODY = -1
_SEVERAL = -2
_SECTOR_BITS = 5


class BlockRaces:
    """Which block stored to and loaded from each cell of the writable mappings. Kept for a whole launch.

    A cell that several blocks stored the same value to, or loaded, keeps no names; a later store of another value races.
    """

    def __init__(self, cell: int) -> None:
        self._cell = cell
        self._owners: dict[Mapping, tuple[np.ndarray, np.ndarray]] = {}

    def _find(self, mapping: Mapping) -> tuple[np.ndarray, np.ndarray]:
        if mapping not in self._owners:
            cells = mapping.data.nbytes // self._cell + 2
            self._owners[mapping] = (np.full(cells, _NOBODY, np.int32), np.full(cells, _NOBODY, np.int32))
        return self._owners[mapping]

    def _cells(self, mapping: Mapping, addresses: np.ndarray, nbytes: int) -> np.ndarray:
        base = mapping.start // self._cell * self._cell
        first = ((addresses - np.uint64(base)) // np.uint64(self._cell)).view(np.int64)
        return first if nbytes == self._cell else first[:, None] + np.arange(nbytes // self._cell)

    def load(self, mapping: Mapping, addresses: np.ndarray, nbytes: int, block: np.ndarray) -> bool:
        """Note a load; whether it races."""
        stored, loaded = self._find(mapping)
        cells = self._cells(mapping, addresses, nbytes)
        block = block.reshape((-1,) + (1,) * (cells.ndim - 1))
        owner, reader = stored.take(cells), loaded.take(cells)
        loaded[cells] = np.where((reader == _NOBODY) | (reader == block), block, _SEVERAL)
        several = (loaded.take(cells) != block) & (reader == _NOBODY)  # two blocks in this very instruction
        if several.any():
            loaded[cells[several]] = _SEVERAL
        return bool(((owner >= 0) & (owner != block)).any())

    def store(
        self, mapping: Mapping, addresses: np.ndarray, nbytes: int, block: np.ndarray, changes: np.ndarray
    ) -> tuple[bool, np.ndarray]:
        """Note a store, which `changes` the value or not (per lane). Whether it races with what came before, and per lane
        whether several blocks stored to a cell of it."""
        stored, loaded = self._find(mapping)
        cells = self._cells(mapping, addresses, nbytes)
        shape = (-1,) + (1,) * (cells.ndim - 1)
        block, changes = block.reshape(shape), changes.reshape(shape)
        owner, reader = stored.take(cells), loaded.take(cells)
        foreign_owner, foreign_reader = ((who != _NOBODY) & (who != block) for who in (owner, reader))
        stored[cells] = np.where(foreign_owner, _SEVERAL, block)
        several = (stored.take(cells) != block) & ~foreign_owner
        if several.any():
            stored[cells[several]] = _SEVERAL
        shared = (stored.take(cells) == _SEVERAL).reshape(len(addresses), -1).any(axis=1)
        return bool((changes & (foreign_owner | foreign_reader)).any()), shared


def count_access(
    report: Report, addresses: np.ndarray, warp: np.ndarray | None, nbytes: int, warps: int, *, store: bool
) -> None:
    """Add one access: `addresses` by lane, and `warp` of each of them; None if they are 32 to a warp."""
    if warp is None:
        rows = addresses.reshape(-1, 32)
        if (rows[:, 1:] < rows[:, :-1]).any():
            rows = np.sort(rows, axis=1)
        distinct = len(rows) + int(np.count_nonzero(rows[:, 1:] != rows[:, :-1]))
        rows = rows >> np.uint64(_SECTOR_BITS)
        touched = len(rows) + int(np.count_nonzero(rows[:, 1:] != rows[:, :-1]))
    else:
        distinct = _distinct(addresses, warp)
        touched = _distinct(addresses >> np.uint64(_SECTOR_BITS), warp)
    if store:
        report.bytes_stored += distinct * nbytes
        report.sectors_stored += touched
        report.store_widths[nbytes] += warps
    else:
        report.bytes_loaded += distinct * nbytes
        report.sectors_loaded += touched
        report.load_widths[nbytes] += warps


def _distinct(keys: np.ndarray, warp: np.ndarray) -> int:
    """How many (warp, key) pairs there are. Warps are in order."""
    new_warp = warp[1:] != warp[:-1]
    if ((keys[1:] < keys[:-1]) & ~new_warp).any():
        order = np.lexsort((keys, warp))
        keys = keys[order]
    return 1 + int(np.count_nonzero((keys[1:] != keys[:-1]) | new_warp))
