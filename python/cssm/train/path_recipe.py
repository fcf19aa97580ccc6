"""The recipe of the path-domain trainer, `cssm train`. Source: training specification 2 to 5."""

from __future__ import annotations

import argparse
from functools import partial

from cssm.train import datasets, models, optimiser
from cssm.train.recipe import Recipe, length_of
from cssm.train.step import Objective


def make(args: argparse.Namespace, devices: int) -> Recipe:
    """Of settled flags; the batch is that of all devices.

    Raises:
      ValueError: flags that do not fit together.
    """
    task = datasets.task(args)
    info = task.training.info
    length = length_of(args, info.samples, args.batch_size)
    schedule = optimiser.learning_rate(args.lr, length.updates, args.warmup_steps if args.warmup_steps >= 0 else None)
    return Recipe(
        task=task,
        batch_size=args.batch_size,
        objective=Objective(
            models.model_of(args, info.num_classes),
            task.pixels,
            args.seq_len,
            args.label_smoothing,
            args.seq_len_min if args.variable_seq_len else None,
            args.bn_train_mode,
        ),
        schedule=schedule,
        optimiser=optimiser.make_optimiser(
            schedule,
            name=args.optimizer,
            weight_decay=args.weight_decay,
            grad_clip=args.grad_clip,
            decay_all=args.decay_all,
            accumulate=args.grad_accum,
        ),
        steps_per_epoch=length.steps_per_epoch,
        total_steps=length.total_steps,
        start=partial(models.started, kernel_std=args.kernel_std, biases=args.biases),
        evaluated={"val/": bool(args.ema_decay)},
    )
