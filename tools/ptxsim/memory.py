"""The device's global memory: mappings of process memory, found by address and accessed lane by lane."""

import bisect
import ctypes
from dataclasses import dataclass, field

import numpy as np

from tools.ptxsim.errors import Misaligned, OutOfBounds, ReadOnlyStore

# Far from the process's own addresses, so that `map` and `map_at` never meet.
_FIRST_ADDRESS = 1 << 52
_ALIGNMENT = 256
_GUARD = 1 << 16  # between two mappings: an index that is somewhat too large hits neither


@dataclass(eq=False)
class Mapping:
    """`data` is the storage's bytes, at the device address `start`."""

    start: int
    data: np.ndarray
    writable: bool
    _words: dict[int, tuple[int, np.ndarray] | None] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.start + self.data.nbytes

    def words(self, width: int) -> tuple[int, np.ndarray] | None:
        """The device address of the first aligned word and the words; None if the storage itself is not aligned."""
        if width not in self._words:
            skip = -self.start % width
            usable = self.data[skip : skip + (self.data.nbytes - skip) // width * width]
            aligned = usable.nbytes > 0 and usable.ctypes.data % width == 0
            self._words[width] = (self.start + skip, usable.view(f"u{width}")) if aligned else None
        return self._words[width]

    def load(self, addresses: np.ndarray, width: int) -> np.ndarray:
        """Words of `width` bytes at aligned addresses (uint64) inside this mapping."""
        if (found := self.words(width)) is not None:
            first, words = found
            return words.take(((addresses - np.uint64(first)) // np.uint64(width)).view(np.int64))
        offsets = (addresses - np.uint64(self.start)).view(np.int64)[:, None] + np.arange(width)
        return self.data[offsets].view(f"u{width}")[:, 0]

    def store(self, addresses: np.ndarray, width: int, values: np.ndarray) -> None:
        if (found := self.words(width)) is not None:
            first, words = found
            words[((addresses - np.uint64(first)) // np.uint64(width)).view(np.int64)] = values
            return
        offsets = (addresses - np.uint64(self.start)).view(np.int64)[:, None] + np.arange(width)
        self.data[offsets] = np.ascontiguousarray(values)[:, None].view(np.uint8)


class GlobalMemory:
    """What a kernel may load from and store to. A mapped array is neither copied nor kept alive by its address alone:
    the memory holds a reference to it."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._mappings: list[Mapping] = []
        self._next = _FIRST_ADDRESS

    def map(self, array: np.ndarray, writable: bool = True) -> int:
        """Give a C-contiguous array a device address, a multiple of 256. Kernels read and write its own storage.

        Raises ValueError if the array is not C-contiguous, or not writeable though `writable`.
        """
        address = self._next
        self._next += (array.nbytes + _GUARD + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT
        return self._add(address, _bytes_of(array, writable), writable)

    def map_at(self, address: int, memory: int | np.ndarray, writable: bool = True) -> int:
        """Map process memory at its own address, for pointers inside by-value structs: `memory` is the number of bytes,
        or an array that is to appear there. Raises ValueError if it overlaps another mapping; the same again is no error."""
        if isinstance(memory, np.ndarray):
            data = _bytes_of(memory, writable)
        else:
            data = np.frombuffer((ctypes.c_uint8 * memory).from_address(address), np.uint8)
        return self._add(address, data, writable)

    def _add(self, address: int, data: np.ndarray, writable: bool) -> int:
        index = bisect.bisect_right(self._starts, address)
        for mapping in self._mappings[max(index - 1, 0) : index + 1]:
            if mapping.start == address and mapping.data.nbytes == data.nbytes:
                mapping.writable |= writable
                return address
            if mapping.start < address + data.nbytes and address < mapping.end:
                raise ValueError(f"[{address:#x}, +{data.nbytes}) overlaps the mapping at {mapping.start:#x}")
        self._starts.insert(index, address)
        self._mappings.insert(index, Mapping(address, data, writable))
        return address

    def extended(self, *others: Mapping) -> "GlobalMemory":
        """This memory and the launch's own mappings."""
        memory = GlobalMemory()
        memory._mappings = sorted([*self._mappings, *others], key=lambda mapping: mapping.start)
        memory._starts = [mapping.start for mapping in memory._mappings]
        return memory

    def split(
        self, addresses: np.ndarray, lanes: np.ndarray, nbytes: int, *, store: bool = False
    ) -> list[tuple[Mapping, np.ndarray | slice]]:
        """The mappings that the lanes' accesses of `nbytes` fall in, each with which of `addresses` those are.

        Raises OutOfBounds, Misaligned or ReadOnlyStore for the first lane at fault.
        """
        if nbytes > 1 and (wrong := addresses & np.uint64(nbytes - 1)).any():
            i = int(np.flatnonzero(wrong)[0])
            raise Misaligned(f"address {int(addresses[i]):#x} is not a multiple of {nbytes}", int(lanes[i]))
        low, high = int(addresses.min()), int(addresses.max())
        index = bisect.bisect_right(self._starts, low) - 1
        parts: list[tuple[Mapping, np.ndarray | slice]]
        if index >= 0 and high + nbytes <= self._mappings[index].end:
            parts = [(self._mappings[index], slice(None))]
        else:
            parts = self._split_by_lane(addresses, lanes, nbytes)
        for mapping, part in parts:
            if store and not mapping.writable:
                lane = int(lanes[part][0])
                raise ReadOnlyStore(f"store to the read-only mapping at {mapping.start:#x}", lane)
        return parts

    def _split_by_lane(
        self, addresses: np.ndarray, lanes: np.ndarray, nbytes: int
    ) -> list[tuple[Mapping, np.ndarray | slice]]:
        owner = np.searchsorted(np.array(self._starts, np.uint64), addresses, side="right") - 1
        ends = np.array([0] + [mapping.end for mapping in self._mappings], np.uint64)
        # The end is compared without the sum, which could wrap.
        wrong = (owner < 0) | (addresses >= ends[owner + 1]) | (ends[owner + 1] - addresses < np.uint64(nbytes))
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise OutOfBounds(
                f"{nbytes} bytes at {int(addresses[i]):#x}: {self._describe(int(addresses[i]))}", int(lanes[i])
            )
        return [(self._mappings[i], np.flatnonzero(owner == i)) for i in np.unique(owner)]

    def _describe(self, address: int) -> str:
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0:
            return "below every mapping"
        mapping = self._mappings[index]
        return f"offset {address - mapping.start} of the mapping of {mapping.data.nbytes} bytes at {mapping.start:#x}"


def _bytes_of(array: np.ndarray, writable: bool) -> np.ndarray:
    if not array.flags.c_contiguous:
        raise ValueError("only C-contiguous arrays can be mapped")
    if writable and not array.flags.writeable:
        raise ValueError("the array is read-only: map it with writable=False")
    return array.reshape(-1).view(np.uint8)
