"""What a run trains, on what, and how: all that its flags decide but the loop."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import optax

from cssm.train.datasets import Task
from cssm.train.step import Objective


class Length(NamedTuple):
    """Of a run, in steps, and in updates of the parameters, of which `--grad_accum` steps make one."""

    steps_per_epoch: int
    total_steps: int
    updates: int


def length_of(args: argparse.Namespace, samples: int, batch_size: int) -> Length:
    """As the flags say, or by epochs of these samples."""
    steps_per_epoch = args.steps_per_epoch or max(1, samples // batch_size)
    total_steps = args.steps * args.grad_accum or steps_per_epoch * args.epochs
    return Length(steps_per_epoch, total_steps, max(1, total_steps // args.grad_accum))


@dataclass(frozen=True)
class Recipe:
    """Of a run.

    Fields:
      task: the data.
      batch_size: samples of a step, over all devices.
      objective: the loss, and the model's logits.
      schedule: learning rate by update.
      optimiser: of the parameters.
      steps_per_epoch, total_steps: in steps, of which `--grad_accum` are an update.
      start: of fresh parameters, those that training starts with.
      evaluated: by the prefix of their records, whether the averaged parameters are evaluated or the live ones; the last one
        decides which checkpoint is the best.
    """

    task: Task
    batch_size: int
    objective: Objective
    schedule: optax.Schedule
    optimiser: optax.GradientTransformation
    steps_per_epoch: int
    total_steps: int
    start: Callable[[Any], Any]
    evaluated: Mapping[str, bool]
