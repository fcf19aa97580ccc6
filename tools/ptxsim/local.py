"""A batch's local memory: each lane's own bytes. Arguments of device functions live here too."""

import numpy as np

from tools.ptxsim.errors import Misaligned, OutOfBounds, UninitialisedRead


class LocalMemory:
    def __init__(self, lanes: int, nbytes: int) -> None:
        self.nbytes = nbytes
        self._stride = (nbytes + 15) // 16 * 16
        self._bytes = np.full(lanes * self._stride, 0xCD, np.uint8)
        self._written = np.zeros(lanes * self._stride, bool)

    def _locate(self, addresses: np.ndarray, lanes: np.ndarray, nbytes: int) -> np.ndarray:
        addresses = addresses.astype(np.int64)
        if (wrong := addresses & (nbytes - 1)).any():
            i = int(np.flatnonzero(wrong)[0])
            raise Misaligned(f"local address {int(addresses[i])} is not a multiple of {nbytes}", int(lanes[i]))
        outside = (addresses < 0) | (addresses + nbytes > self.nbytes)
        if outside.any():
            i = int(np.flatnonzero(outside)[0])
            detail = f"{nbytes} bytes at {int(addresses[i])} of {self.nbytes} bytes of local memory"
            raise OutOfBounds(detail, int(lanes[i]))
        return addresses + lanes * self._stride

    def load(self, addresses: np.ndarray, lanes: np.ndarray, width: int, count: int) -> list[np.ndarray]:
        """`count` words of `width` bytes a lane. Raises OutOfBounds, Misaligned or UninitialisedRead."""
        at = self._locate(addresses, lanes, width * count)
        written = self._written[at[:, None] + np.arange(width * count)].all(axis=1)
        if not written.all():
            lane = int(lanes[np.flatnonzero(~written)[0]])
            raise UninitialisedRead("this thread did not write all of what it loads from local memory", lane)
        return [self._bytes.view(f"u{width}").take(at // width + k) for k in range(count)]

    def store(self, addresses: np.ndarray, lanes: np.ndarray, width: int, values: list[np.ndarray]) -> None:
        at = self._locate(addresses, lanes, width * len(values))
        for k, value in enumerate(values):
            self._bytes.view(f"u{width}")[at // width + k] = value
        self._written[at[:, None] + np.arange(width * len(values))] = True

    def copy(self, source: int, target: int, lanes: np.ndarray, nbytes: int) -> None:
        """Copy bytes, and whether they were written, from one address to another of the same lane."""
        offsets = (lanes * self._stride)[:, None] + np.arange(nbytes)
        self._bytes[offsets + target] = self._bytes[offsets + source]
        self._written[offsets + target] = self._written[offsets + source]
