"""What a run trains, on what, and how: all that its flags decide but the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optax

from cssm.train.datasets import Task
from cssm.train.step import Objective


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
