"""Batches made as they are needed, a pure function of (seed, step), a few ahead on a thread."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

HostBatch = dict[str, np.ndarray]


@dataclass(frozen=True)
class DataInfo:
    """Of a data set: classes, samples of the training split, and the shape of an input, (T, H, W, C)."""

    num_classes: int
    samples: int
    shape: tuple[int, ...]


class Batches(Protocol):
    """Endless training batches with a position."""

    info: DataInfo

    def __iter__(self) -> Generator[HostBatch, None, None]: ...

    def state(self) -> Any:
        """JSON: where the next batch comes from."""

    def restore(self, state: Any) -> None:
        """Go on from there."""


class Generated:
    """Batches `make(step)`, step = 0, 1, ...

    Args:
      make: the samples of this process in a step's batch.
      info: see `DataInfo`.
      ahead: batches made before they are asked for.
    """

    def __init__(self, make: Callable[[int], HostBatch], info: DataInfo, ahead: int = 2) -> None:
        self.info = info
        self._make, self._ahead, self._next = make, ahead, 0

    def __iter__(self) -> Generator[HostBatch, None, None]:
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
            waiting: list[Future[HostBatch]] = []
            while True:
                while len(waiting) <= self._ahead:
                    waiting.append(thread.submit(self._make, self._next + len(waiting)))
                batch = waiting.pop(0).result()
                self._next += 1
                yield batch

    def state(self) -> int:
        return self._next

    def restore(self, state: int) -> None:
        self._next = state


class Stored:
    """The batches of a loader of `cssm.data`, epoch after epoch."""

    def __init__(self, loader: Any, info: DataInfo) -> None:
        self.info, self._loader = info, loader

    def __iter__(self) -> Generator[HostBatch, None, None]:
        while True:
            yield from self._loader

    def state(self) -> Any:
        return self._loader.state()

    def restore(self, state: Any) -> None:
        self._loader.restore(state)
