"""What a run trains and is evaluated on: by name, the flags' data sets."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from cssm.data.minis import PathTrackerMini, pathfinder_mini, turned
from cssm.train.batches import Batches, DataInfo, Generated, HostBatch, Stored
from cssm.train.step import Pixels

GENERATED = ("pathtracker_mini", "pathfinder_mini")
MINI_SAMPLES = 60_000
MINI_IMAGES = 5_000
HELD_OUT = 2_048
_TRAINING = 0
# Of the held-out clips: training's seeds are (seed, _TRAINING, step), and zeros at the end of a NumPy seed do not count.
_HELD_OUT_SEED = (0, 2**32 - 1)
# Stored sets, and the split that the published runs evaluate on.
_STORED = {
    "pathfinder": "val",
    "cabc": "test",
    "pathtracker": "val",
    "girik": "test",
    "imagenet": "val",
    "imagenette": "val",
}


class Task(NamedTuple):
    """Training batches, evaluation batches by call, and how pixels are read."""

    training: Batches
    evaluation: EvaluationBatches
    pixels: Pixels


class EvaluationBatches:
    """Every held-out sample once: batches whole by padding, `weight` 0 where padded.

    Args:
      parts: makes an iterator over batches of at most `batch_size` samples.
      batch_size: of what is given.
    """

    def __init__(self, parts: Callable[[], Iterable[HostBatch]], batch_size: int) -> None:
        self._parts, self.batch_size = parts, batch_size

    @classmethod
    def of(cls, samples: HostBatch, batch_size: int) -> EvaluationBatches:
        """Of arrays in memory."""
        begins = range(0, len(samples["label"]), batch_size)
        cut = lambda begin: {name: value[begin : begin + batch_size] for name, value in samples.items()}  # noqa: E731
        return cls(lambda: map(cut, begins), batch_size)

    def __iter__(self) -> Iterator[HostBatch]:
        for part in self._parts():
            missing = self.batch_size - len(part["label"])
            weight = np.repeat(np.array([1, 0], np.float32), [len(part["label"]), missing])
            padded = {name: np.pad(v, [(0, missing), *[(0, 0)] * (v.ndim - 1)]) for name, v in part.items()}
            yield padded | {"weight": weight}


def task(args: argparse.Namespace) -> Task:
    """The data set that `--dataset` names.

    Raises:
      ValueError: an unknown name, or a data set that lacks its directory.
    """
    if args.dataset == "pathtracker_mini":
        return _pathtracker_mini(args)
    if args.dataset == "pathfinder_mini":
        return _pathfinder_mini(args)
    if args.dataset in _STORED:
        return _stored(args)
    raise ValueError(f"--dataset: got {args.dataset!r}, expected one of {', '.join((*GENERATED, *_STORED))}")


def level_at(levels: tuple[tuple[int, int], ...], step: int, last: int) -> int:
    """Of a curriculum ((step, level), ...), the level at a step; `last` without one."""
    reached = [level for begin, level in levels if begin <= step]
    return reached[-1] if reached else last


def local_share(batch_size: int) -> tuple[int, int]:
    """(index of this process, samples of a batch it makes).

    Raises:
      ValueError: the processes do not divide the batch.
    """
    processes = jax.process_count()
    if batch_size % jax.device_count():
        raise ValueError(f"--batch_size: got {batch_size}, expected a multiple of the {jax.device_count()} devices")
    return jax.process_index(), batch_size // processes


def _pathtracker_mini(args: argparse.Namespace) -> Task:
    full = PathTrackerMini(frames=args.frames, last_frames=args.seq_len if args.seq_len != args.frames else None)
    index, share = local_share(args.batch_size)

    def make(step: int) -> HostBatch:
        mini = replace(full, distractors=level_at(args.levels, step, full.distractors))
        if args.frame_counts and step >= args.variable_from:
            mini = replace(mini, frames=args.frame_counts[step % len(args.frame_counts)], last_frames=None)
        whole = mini.batch((args.seed, _TRAINING, step), args.batch_size)
        return {name: value[index * share : (index + 1) * share] for name, value in whole.items()}

    info = DataInfo(2, MINI_SAMPLES, (args.seq_len, full.size, full.size, 3))
    held_out = full.batch(_HELD_OUT_SEED, HELD_OUT)
    evaluation = EvaluationBatches.of(held_out, _evaluated_at_once(256))
    return Task(Generated(make, info, args.prefetch_batches), evaluation, Pixels(255.0, (0.0,)))


def _pathfinder_mini(args: argparse.Namespace) -> Task:
    index, share = local_share(args.batch_size)
    images = pathfinder_mini(2 * args.seed + 2, MINI_IMAGES)

    def make(step: int) -> HostBatch:
        rng = np.random.default_rng((args.seed, _TRAINING, step))
        chosen = rng.integers(0, MINI_IMAGES, args.batch_size)
        batch = {"image": turned(images["image"][chosen], rng), "label": images["label"][chosen]}
        return {name: value[index * share : (index + 1) * share] for name, value in batch.items()}

    info = DataInfo(2, MINI_IMAGES, (args.seq_len, *images["image"].shape[1:]))
    evaluation = EvaluationBatches.of(pathfinder_mini(1, HELD_OUT), _evaluated_at_once(256))
    return Task(Generated(make, info, args.prefetch_batches), evaluation, Pixels(255.0, (0.0,)))


def _stored(args: argparse.Namespace) -> Task:
    root = args.tfrecord_dir or {"imagenet": args.imagenet_dir, "pathtracker": args.pathtracker_dir}.get(args.dataset)
    return stored(
        args.dataset,
        args.batch_size,
        args.seed,
        num_frames=args.seq_len,
        image_size=args.image_size or None,
        difficulty={"pathfinder": args.pathfinder_difficulty, "cabc": args.cabc_difficulty}.get(args.dataset),
        root=root or args.data_dir,
        num_workers=args.num_workers,
        prefetch=args.prefetch_batches,
    )


def stored(
    name: str, batch_size: int, seed: int, *, num_frames: int | None = None, repeats: int = 1, **loading: Any
) -> Task:
    """A data set of `cssm.data`.

    Args:
      name: of the set.
      batch_size: samples of a step, over all processes.
      seed: of the order and the augmentation.
      num_frames: T, of clips, and of images, which the objective repeats; None: images stay images.
      repeats: times that a sample comes in turn in training.
      loading: other arguments of `make_loader`, for both splits.

    Raises:
      ValueError: see `make_loader`.
    """
    from cssm.data.loader import make_loader

    index, share = local_share(batch_size)
    loading["num_frames"] = num_frames
    shard = index, jax.process_count()
    training = make_loader(name, "train", share, shard=shard, seed=seed, repeats=repeats, **loading)
    # Every process reads all that is held out, and takes its part of each batch.
    at_once = _evaluated_at_once(batch_size)
    evaluation = make_loader(name, _STORED[name], at_once, **loading)
    repeated = () if num_frames is None or training.info.kind == "video" else (num_frames,)
    norm = training.info.normalisation
    pixels = Pixels(1.0, (0.0,)) if norm is None else Pixels(255.0, norm.mean, norm.std)
    info = DataInfo(training.info.num_classes, training.info.samples, (*repeated, *training.info.shape))
    return Task(Stored(training, info), EvaluationBatches(lambda: evaluation, at_once), pixels)


def _evaluated_at_once(wanted: int) -> int:
    """A multiple of the devices."""
    devices = jax.device_count()
    return -(-wanted // devices) * devices
