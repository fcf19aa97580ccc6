"""The recipe of the ImageNet trainer. Source: training specification 11."""

from __future__ import annotations

import argparse
from typing import Any

import optax

from cssm.train import datasets, optimiser
from cssm.train.augment.pipeline import Augmentation
from cssm.train.imagenet.model import model_of
from cssm.train.imagenet.objective import ImageObjective
from cssm.train.imagenet.self_supervised import SelfSupervised
from cssm.train.recipe import Recipe, length_of

EPS = 1e-6
REPEATS = 3  # of an image, with --repeated_aug
SCALED_TO = 512  # samples for which the SHViT preset gives the learning rate


def make(args: argparse.Namespace, devices: int) -> Recipe:
    """Of settled flags; the batch is that of each device.

    Raises:
      ValueError: flags that do not fit together, or data that is not there.
    """
    batch_size = args.batch_size * devices
    task = datasets.stored(
        "imagenet",
        batch_size,
        args.seed,
        repeats=REPEATS if args.repeated_aug else 1,
        image_size=args.image_size,
        root=args.tfrecord_dir if args.data_loader == "tfrecord" else args.data_dir,
        num_workers=args.num_workers,
        prefetch=args.prefetch_depth,
    )
    length = length_of(args, task.training.info.samples, batch_size)
    scale = batch_size / SCALED_TO if args.shvit_recipe else 1.0
    warmup = round(args.warmup_epochs * length.steps_per_epoch / args.grad_accum)
    # optax counts the warm-up in; the published trainer took it off as well (discrepancy D15).
    decays = max(1, length.updates - warmup) if args.legacy_schedule else length.updates
    schedule = optimiser.learning_rate(args.lr * scale, decays, warmup, args.min_lr * scale)
    return Recipe(
        task=task,
        batch_size=batch_size,
        objective=_objective(args, task),
        schedule=schedule,
        optimiser=optimiser.make_optimiser(
            schedule,
            name=args.optimizer,
            weight_decay=args.weight_decay,
            grad_clip=args.grad_clip,
            agc=args.agc_clip_factor if args.grad_clip_mode == "agc" else None,
            eps=EPS,
            decay_all=args.decay_all,
            accumulate=args.grad_accum,
            apart=_heads(args) if args.ssl_temporal_loss else None,
        ),
        steps_per_epoch=length.steps_per_epoch,
        total_steps=length.total_steps,
        start=lambda params: params,
        evaluated={"val/": False, "val/ema_": True} if args.ema_decay else {"val/": False},
    )


def _objective(args: argparse.Namespace, task: datasets.Task) -> ImageObjective:
    fields: dict[str, Any] = dict(
        model=model_of(args, task.training.info.num_classes),
        pixels=task.pixels,
        label_smoothing=args.label_smoothing,
        augment=Augmentation(
            kind=args.augmentation,
            operations=args.randaugment_num_ops,
            magnitude=args.randaugment_magnitude,
            jitter=args.color_jitter,
            mixup_alpha=args.mixup_alpha,
            cutmix_alpha=args.cutmix_alpha,
            mixup_prob=args.mixup_prob,
            erase_prob=args.random_erase_prob,
        ),
    )
    if not args.ssl_temporal_loss:
        return ImageObjective(**fields, binary=args.loss == "bce", timesteps=tuple(args.variable_timesteps))
    return SelfSupervised(
        **fields,
        pairs=args.ssl_pair_mode,
        loss_weight=args.ssl_loss_weight,
        sigreg_weight=args.ssl_sigreg_weight,
        slices=args.ssl_num_slices,
        points=args.ssl_num_points,
    )


def _heads(args: argparse.Namespace) -> dict[str, optax.GradientTransformation]:
    """Of self-supervision: the probe learns at its own rate, without decay, and the head, which nothing reads, stays."""
    return {"linear_probe_head": optax.adam(args.probe_lr), "head": optax.set_to_zero()}
