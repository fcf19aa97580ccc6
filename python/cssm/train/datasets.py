"""What a run trains and is evaluated on: by name, the flags' data sets."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np

from cssm.data.minis import PathTrackerMini
from cssm.train.batches import Batches, DataInfo, Generated, HostBatch
from cssm.train.step import Pixels

GENERATED = ("pathtracker_mini",)
MINI_SAMPLES = 60_000
HELD_OUT = 2_048
_TRAINING, _EVALUATION = 0, 1


class Task(NamedTuple):
    """Training batches, evaluation batches by call, and how pixels are read."""

    training: Batches
    evaluation: EvaluationBatches
    pixels: Pixels


class EvaluationBatches:
    """Every held-out sample once: batches whole by padding, `weight` 0 where padded."""

    def __init__(self, samples: HostBatch, batch_size: int) -> None:
        self.samples, self.batch_size = samples, batch_size

    def __iter__(self) -> Iterator[HostBatch]:
        count = len(self.samples["label"])
        for begin in range(0, count, self.batch_size):
            part = {name: value[begin : begin + self.batch_size] for name, value in self.samples.items()}
            missing = self.batch_size - len(part["label"])
            weight = np.repeat(np.array([1, 0], np.float32), [len(part["label"]), missing])
            yield {name: np.pad(v, [(0, missing), *[(0, 0)] * (v.ndim - 1)]) for name, v in part.items()} | {
                "weight": weight
            }


def task(args: argparse.Namespace) -> Task:
    """The data set that `--dataset` names.

    Raises:
      ValueError: an unknown name, or a data set that lacks its directory.
    """
    if args.dataset == "pathtracker_mini":
        return _pathtracker_mini(args)
    raise ValueError(f"--dataset: got {args.dataset!r}, expected one of {', '.join(GENERATED)}")


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
        level = level_at(args.levels, step, full.distractors)
        whole = replace(full, distractors=level).batch((args.seed, _TRAINING, step), args.batch_size)
        return {name: value[index * share : (index + 1) * share] for name, value in whole.items()}

    info = DataInfo(2, MINI_SAMPLES, (args.seq_len, full.size, full.size, 3))
    held_out = full.batch((_EVALUATION,), HELD_OUT)
    return Task(Generated(make, info, args.prefetch_batches), EvaluationBatches(held_out, 256), Pixels())
