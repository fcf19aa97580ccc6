"""Batches of a data set, through grain: shuffled, sharded, read ahead, and resumed anywhere.

Batch k of epoch e is a function of (seed, e, k): it does not depend on threads, on worker processes, or on where a run was
stopped before.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grain
import numpy as np
from absl import flags

import cssm.data.sets  # noqa: F401  # registers them
from cssm.data.fitting import Fit
from cssm.data.normalisation import Normalisation
from cssm.data.registry import DataSet, Request, Source, factory

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class LoaderInfo:
    """Of a loader.

    Fields:
      num_classes: labels are 0 ... num_classes - 1.
      samples: of the split, over all shards.
      counts: samples by split, as far as they are known.
      kind: "image" or "video", the name of the pixels in a batch.
      shape: of one, (H, W, 3) or (F, H, W, 3).
      image_size: H.
      frames: T, of clips and for images as asked for: they are given once, and repeated on the device; None: not said.
      dtype: of the pixels.
      normalisation: for the device to apply, of uint8 pixels; None: they are float32, stored normalised.
    """

    num_classes: int
    samples: int
    counts: dict[str, int]
    kind: str
    shape: tuple[int, ...]
    image_size: int
    frames: int | None
    dtype: np.dtype
    normalisation: Normalisation | None


def make_loader(
    name: str,
    split: str,
    batch_size: int,
    num_frames: int | None = None,
    image_size: int | None = None,
    difficulty: int | str | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    shuffle: bool | None = None,
    seed: int = 0,
    shard: tuple[int, int] = (0, 1),
    drop_remainder: bool | None = None,
    num_workers: int = 0,
    prefetch: int = 2,
    repeats: int = 1,
) -> Loader:
    """The batches of a split of a registered data set.

    Args:
      name: pathfinder, cabc, pathtracker, girik, imagenet, imagenette, or what `register` added.
      split: train, val or test.
      batch_size: samples of this shard in a batch.
      num_frames: T: clips are thinned to so many frames; of images it is only noted. None: all frames.
      image_size: pixels are resized to it; None: as stored (ImageNet and Imagenette: 224).
      difficulty: of sets that have several.
      root, cache: see `Request`.
      shuffle: another order in each epoch, of the whole split (None: in training).
      seed: of the order and the augmentation, 0 to 2^32 - 1.
      shard: (i, n): the i-th of n disjoint parts of every epoch, for n processes.
      drop_remainder: leave out what does not fill a batch, and what does not fill up all shards (None: in training).
        Otherwise the shards together give every sample once, some a sample more than others.
      num_workers: processes that read and decode; 0: threads of this one.
      prefetch: batches read ahead (by each worker); 0, without workers: none.
      repeats: times that a sample comes in turn, each time augmented anew; an epoch is as many times longer.

    Raises:
      ValueError: an argument is out of range, no data set has the name, or the data set lacks something.
      RecordError: a record file is corrupt or cut short.
    """
    if not 0 <= shard[0] < shard[1]:
        raise ValueError(f"shard: got {shard}, expected (i, n) with 0 <= i < n")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: got {seed}, expected 0 to 2^32 - 1")
    for argument, value, least in (
        ("batch_size", batch_size, 1),
        ("num_workers", num_workers, 0),
        ("prefetch", prefetch, 0),
        ("repeats", repeats, 1),
    ):
        if value < least:
            raise ValueError(f"{argument}: got {value}, expected at least {least}")
    request = Request(
        split,
        None if root is None else Path(root),
        num_frames,
        image_size,
        difficulty,
        None if cache is None else Path(cache),
    )
    training = split == "train"
    order = _Order(
        name,
        split,
        difficulty,
        batch_size,
        training if shuffle is None else shuffle,
        seed,
        shard,
        training if drop_remainder is None else drop_remainder,
        repeats,
    )
    return Loader(factory(name)(request), order, Fit(num_frames, image_size), num_workers, prefetch)


@dataclass(frozen=True)
class _Order:
    """What decides which samples a batch has, beside the position."""

    name: str
    split: str
    difficulty: int | str | None
    batch_size: int
    shuffle: bool
    seed: int
    shard: tuple[int, int]
    drop_remainder: bool
    repeats: int


class _Repeated(grain.MapDataset):
    """Each element of a data set, so many times in turn."""

    def __init__(self, parent: grain.MapDataset, repeats: int) -> None:
        super().__init__(parent)
        self._repeats = repeats

    def __len__(self) -> int:
        return self._repeats * len(self._parent)

    def __getitem__(self, index: Any) -> Any:
        return self.slice(index) if isinstance(index, slice) else self._parent[index // self._repeats]


class Loader:
    """Iterating gives the batches of one epoch, {"image" or "video": (B, ...), "label": (B,) int32}, from where the last
    iteration stopped; the next time those of the next epoch. See `make_loader`.

    Fields:
      info: see `LoaderInfo`.
      epoch: the epoch of the next batch.
    """

    def __init__(self, data: DataSet, order: _Order, fit: Fit, num_workers: int, prefetch: int) -> None:
        self._order, self._num_workers, self._prefetch = order, num_workers, prefetch
        self._samples, self._source = len(data.source), _description(data.source)
        if not self._samples:
            raise ValueError(f"split: got {order.split!r}, which is empty, expected samples")
        self.info = _info(data, fit)
        self._batches = _batches(data, order, fit)
        if not len(self._batches):
            raise ValueError(
                f"batch_size: got {order.batch_size}, expected no more than the {self._samples // order.shard[1]} samples"
                " of a shard"
            )
        self._position = 0
        self._running: list[Any] = []  # grain's iterator, while there is one
        weakref.finalize(self, _close, self._running)  # also at Python's exit, before grain is taken apart

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._batches)

    @property
    def epoch(self) -> int:
        return self._position // len(self)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch
        while self.epoch == epoch:
            yield self._next()

    def _next(self) -> Batch:
        if not self._running:
            self._running.append(self._start())
        try:
            batch = next(self._running[0])
        except BaseException:
            self.close()
            raise
        self._position += 1
        # Of workers' batches a copy: theirs is in shared memory, which ends with them.
        return {key: np.array(value) for key, value in batch.items()} if self._num_workers else batch

    def state(self) -> dict[str, Any]:
        """Where the next batch comes from; JSON."""
        epoch, batch = divmod(self._position, len(self))
        return {"epoch": epoch, "batch": batch, "order": self._identity()}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state()` of a loader of the same order: workers, prefetch and sizes may be others.

        Raises:
          ValueError: of another order.
        """
        if state["order"] != self._identity():
            raise ValueError(f"state: got one of {state['order']}, expected one of {self._identity()}")
        self.close()
        self._position = state["epoch"] * len(self) + state["batch"]

    def close(self) -> None:
        """Ends threads and workers; iterating starts them again."""
        _close(self._running)

    def _identity(self) -> dict[str, Any]:
        return self._order.__dict__ | {
            "shard": list(self._order.shard),
            "samples": self._samples,
            "source": self._source,
        }

    def _start(self) -> Any:
        endless = self._batches.repeat()[self._position :]
        if self._num_workers:
            if not flags.FLAGS.is_parsed():  # grain reads them, also in programs that have no use for absl's flags
                flags.FLAGS.mark_as_parsed()
            rest = endless.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1))
            workers = grain.MultiprocessingOptions(self._num_workers, per_worker_buffer_size=max(1, self._prefetch))
            return iter(rest.mp_prefetch(workers))
        return iter(endless.to_iter_dataset(grain.ReadOptions(self._prefetch, self._prefetch)))


def _description(source: Source) -> str | None:
    """What a source says of itself; None where all it says is where it lies in memory."""
    return None if type(source).__repr__ is object.__repr__ else repr(source)


def _close(running: list[Any]) -> None:
    while running:
        running.pop().close()


def _batches(data: DataSet, order: _Order, fit: Fit) -> grain.MapDataset:
    """The batches of an epoch; an index past it reaches into the following ones."""
    count, (index, shards) = len(data.source), order.shard
    samples = grain.MapDataset.range(count).seed(order.seed)
    if order.shuffle:
        samples = samples.shuffle()
    samples = samples[index : count // shards * shards if order.drop_remainder else count : shards]
    samples = _Repeated(samples, order.repeats) if order.repeats > 1 else samples
    samples = samples.map(data.source.__getitem__) if data.draw is None else samples.random_map(data.draw)
    return samples.map(fit).batch(order.batch_size, drop_remainder=order.drop_remainder)


def _info(data: DataSet, fit: Fit) -> LoaderInfo:
    sample = fit(data.source[0])
    kind = "video" if "video" in sample else "image"
    pixels = sample[kind]
    return LoaderInfo(
        num_classes=data.num_classes,
        samples=len(data.source),
        counts=dict(data.counts),
        kind=kind,
        shape=pixels.shape,
        image_size=pixels.shape[-3],
        frames=len(pixels) if kind == "video" else fit.num_frames,
        dtype=pixels.dtype,
        normalisation=data.normalisation if pixels.dtype == np.uint8 else None,
    )
