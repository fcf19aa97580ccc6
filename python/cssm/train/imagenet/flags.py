"""The published command line of the ImageNet trainer, and its presets. Source: training specification 11.1."""

from __future__ import annotations

import argparse
import math
import os
from typing import Any

from cssm.train.flags import SHARED, Rows, add_rows, check

MODELS = ("cssm_shvit", "conv_shvit")
LOADERS = ("tfrecord", "folder")
MOST_WORKERS = 32

MODEL: Rows = (
    ("model", "cssm_shvit", "cssm_shvit, or conv_shvit: convolutional blocks in its stages with a recurrence"),
    ("model_size", "s4", "s1 s2 s3 s4"),
    ("image_size", 224, ""),
    ("cssm_type", "gated", "gated or gdn"),
    ("num_timesteps", 8, "T, to which a block with a recurrence repeats an image"),
    ("kernel_size", 5, "of the recurrences, in every stage"),
    ("short_conv_spatial_size", 3, "0 for none"),
    ("short_conv_size", 4, "in time; 0 for none"),
    ("delta_key_dim", 2, "gdn: d_k"),
    ("output_norm", "rms", "gdn"),
    ("gate_type_cssm", "factored", "form of the gates"),
    ("gate_activation", "softplus", "gated"),
    ("spectral_rho", 0.999, "bound of the spectral radius"),
    ("rope_mode", "none", "none temporal spatiotemporal learned_t"),
    ("block_norm", "global_layer", "global_layer temporal_layer layer"),
    ("dense_mixing", False, "gated"),
    ("block_size", 32, "of channel mixing"),
    ("mixing_rank", 0, "gated: of channel mixing, 0 is full"),
    ("output_act", "none", "none gelu silu"),
    ("no_input_gates", False, "gdn"),
    ("gate_proj_bias_init", 0.0, "gdn"),
    ("head_pool", "max", "max or mean"),
    ("timestep_gate", False, "the mean of all steps, weighted, instead of the last one"),
    ("static_image_fast_path", False, "gdn: takes short_conv_size 0, no input gates and no rotation"),
    ("precision", "fp32", "of the computation: fp32 or bf16; parameters and the loss are fp32"),
    ("drop_path_rate", 0.1, ""),
)
RUN: Rows = (
    ("batch_size", 32, "samples a step, on each device"),
    ("epochs", 300, ""),
    ("lr", 1e-3, "peak learning rate"),
    ("min_lr", 1e-5, "at the end"),
    ("weight_decay", 0.05, ""),
    ("warmup_epochs", 5.0, ""),
    ("grad_clip", 1.0, "global norm"),
    ("grad_clip_mode", "norm", "norm, or agc: by the norms of the parameters"),
    ("agc_clip_factor", 0.02, ""),
    ("optimizer", "adamw", "adamw lamb sgd"),
    ("loss", "ce", "ce, or bce: of each class for itself, their mean"),
    ("augmentation", None, "randaugment 3aug none (randaugment)"),
    ("mixup_alpha", 0.8, "0 for none"),
    ("cutmix_alpha", 1.0, "0 for none"),
    ("mixup_prob", 0.5, "of Mixup; the other batches get CutMix"),
    ("label_smoothing", 0.1, ""),
    ("ema_decay", 0.9999, "of the average of the parameters; 0 is none"),
    ("random_erase_prob", 0.25, ""),
    ("randaugment_num_ops", 2, ""),
    ("randaugment_magnitude", 9.0, "0 to 10"),
    ("color_jitter", 0.3, "with 3aug"),
    ("repeated_aug", False, "an image comes three times in turn, each time augmented anew"),
    ("no_augmentation", False, "neither of the above"),
    ("timm_recipe", False, "preset: it replaces other flags, but not --augmentation"),
    ("shvit_recipe", False, "preset; lr and min_lr are 1e-3 and 1e-5 for 512 samples, and grow with the batch"),
    ("deit3_recipe", False, "preset"),
    ("seed", 42, ""),
    ("data_loader", None, "tfrecord or folder (as --tfrecord_dir or --data_dir is given)"),
    ("data_dir", None, "train/WNID/*.JPEG and val"),
    ("tfrecord_dir", None, "train/train-*.tfrecord and val"),
    ("num_workers", -1, "processes that read images (as many as processors, 32 at most)"),
    ("prefetch_depth", 2, "batches made ahead by each"),
    ("prefetch_to_device", False, "accepted as published"),
    ("tf_max_intraop", 1, "accepted as published"),
    ("tf_parallel_reads", 64, "accepted as published"),
    ("tf_prefetch_batches", 16, "accepted as published"),
    ("tf_threadpool_size", 48, "accepted as published"),
    ("project", "cssm-imagenet-edge", "of Weights & Biases"),
    ("run_name", None, "name of the run (made of its settings)"),
    ("save_every", 10, "epochs from a checkpoint to the next"),
    ("eval_every", 1, "epochs from an evaluation to the next"),
)
SELF_SUPERVISED: Rows = (
    (
        "ssl_temporal_loss",
        False,
        "LeJEPA over the steps of the recurrences (gdn), and a linear probe, instead of labels",
    ),
    ("ssl_pair_mode", "all", "steps that predict each other: successive to_mean all"),
    ("ssl_loss_weight", 1.0, "of their distance"),
    ("ssl_sigreg_weight", 1.0, "of SIGReg, which keeps them from collapsing"),
    ("ssl_proj_dim", 64, "of their projections"),
    ("ssl_num_slices", 1024, "directions of SIGReg, drawn in each step"),
    ("ssl_num_points", 17, "points of its statistic"),
    ("probe_lr", 1e-3, "constant, of the linear probe"),
)
OURS: Rows = (
    ("embed_dims", "", "channels of the stages, as 64,128,256,384, instead of the model size's"),
    ("depths", "", "blocks of the stages, as 1,2,2,1, instead of the model size's"),
    ("legacy_schedule", False, "the published cosine, which ends by the length of the warm-up too early"),
    ("best_metric", "acc", "by which the best checkpoint is chosen, of the average if there is one: loss or acc"),
    ("early_stopping_patience", 0, "evaluations without a better accuracy; 0 is never"),
    ("log_every", 50, "steps from a record to the next"),
)
# The published presets. They replace what other flags say, but for --augmentation (discrepancy D12).
PRESETS: dict[str, dict[str, Any]] = {
    "timm_recipe": {
        "optimizer": "adamw",
        "lr": 1e-3,
        "augmentation": "3aug",
        "mixup_alpha": 0.8,
        "cutmix_alpha": 1.0,
        "label_smoothing": 0.1,
        "ema_decay": 0.9998,
        "random_erase_prob": 0.25,
    },
    "shvit_recipe": {
        "optimizer": "adamw",
        "lr": 1e-3,
        "min_lr": 1e-5,
        "weight_decay": 0.025,
        "augmentation": "randaugment",
        "randaugment_num_ops": 2,
        "randaugment_magnitude": 9.0,
        "label_smoothing": 0.1,
        "ema_decay": 0.99996,
        "random_erase_prob": 0.25,
        "color_jitter": 0.4,
        "grad_clip_mode": "agc",
        "agc_clip_factor": 0.02,
        "repeated_aug": True,
    },
    "deit3_recipe": {
        "optimizer": "lamb",
        "lr": 3e-3,
        "epochs": 800,
        "loss": "bce",
        "augmentation": "3aug",
        "label_smoothing": 0.0,
        "ema_decay": 0.0,
        "random_erase_prob": 0.0,
    },
}
CHOICES = {
    "model": MODELS,
    "precision": ("fp32", "bf16"),
    "grad_clip_mode": ("norm", "agc"),
    "optimizer": ("adamw", "lamb", "sgd"),
    "loss": ("ce", "bce"),
    "augmentation": ("randaugment", "3aug", "none"),
    "data_loader": LOADERS,
    "ssl_pair_mode": ("successive", "to_mean", "all"),
}


def add_flags(made: argparse.ArgumentParser) -> None:
    """Adds every flag."""
    made.set_defaults(recipe="imagenet", bf16=False)  # precision is the model's
    tables = (
        ("model", MODEL),
        ("run", RUN),
        ("self-supervision", SELF_SUPERVISED),
        ("ours", OURS),
        ("of every trainer", SHARED),
    )
    groups = {title: made.add_argument_group(title) for title, _ in tables}
    for title, rows in tables:
        add_rows(groups[title], rows)
    for name, text in (("dwconv", "a convolution within the MLPs"), ("pos_conv", "a convolution before recurrences")):
        groups["model"].add_argument(f"--{name}", action="store_true", default=True, help=f"{text} (the default)")
        groups["model"].add_argument(f"--no_{name}", action="store_false", dest=name, help="without it")
    groups["model"].add_argument(
        "--variable_timesteps", type=int, nargs="+", default=[], metavar="T", help="of which each batch draws one"
    )
    made.add_argument("--resume_epoch", type=int, help="accepted as published: a checkpoint knows its step")


def parser(prog: str = "cssm train-imagenet") -> argparse.ArgumentParser:
    """The parser of all flags."""
    made = argparse.ArgumentParser(prog=prog, description="Train a model on ImageNet.")
    add_flags(made)
    return made


def settle(args: argparse.Namespace) -> argparse.Namespace:
    """Apply the preset, fill in what depends on other flags, and check those that the model does not.

    Raises:
      ValueError: naming the flag, what came and what was expected.
    """
    _apply_preset(args)
    if args.data_loader is None:
        args.data_loader = "tfrecord" if args.tfrecord_dir else "folder"
    for name, choices in CHOICES.items():
        if getattr(args, name) not in choices:
            raise ValueError(f"--{name}: got {getattr(args, name)!r}, expected one of {', '.join(choices)}")
    if args.no_augmentation:
        args.augmentation, args.repeated_aug = "none", False
        args.mixup_alpha = args.cutmix_alpha = args.random_erase_prob = 0.0
    if args.ssl_temporal_loss:
        _check_self_supervised(args)
        args.static_image_fast_path = False
    if args.static_image_fast_path:
        args.short_conv_size, args.no_input_gates, args.rope_mode = 0, True, "none"
    check(args, positive=("image_size", "num_timesteps", "randaugment_num_ops"))
    for name, high in (("mixup_prob", 1), ("random_erase_prob", 1), ("color_jitter", 1), ("randaugment_magnitude", 10)):
        if not 0 <= getattr(args, name) <= high:
            raise ValueError(f"--{name}: got {getattr(args, name)}, expected a number in [0, {high}]")
    for name in ("mixup_alpha", "cutmix_alpha", "min_lr", "warmup_epochs"):
        if not 0 <= getattr(args, name) < math.inf:
            raise ValueError(f"--{name}: got {getattr(args, name)}, expected a number from 0 on")
    if any(steps < 1 for steps in args.variable_timesteps):
        raise ValueError(f"--variable_timesteps: got {args.variable_timesteps}, expected positive integers")
    if args.num_workers < 0:
        args.num_workers = min(MOST_WORKERS, os.cpu_count() or 1)
    args.run_name = args.run_name or run_name(args)
    return args


def run_name(args: argparse.Namespace) -> str:
    """The model, its size and its recurrence, as the published sweep names its runs."""
    name = f"{args.model}_{args.model_size}"
    return f"{name}_{args.cssm_type}_k{args.kernel_size}_t{args.num_timesteps}" if args.model == "cssm_shvit" else name


def _check_self_supervised(args: argparse.Namespace) -> None:
    for name, value in (("model", "cssm_shvit"), ("cssm_type", "gdn"), ("loss", "ce"), ("variable_timesteps", [])):
        if getattr(args, name) != value:
            got = getattr(args, name)
            raise ValueError(f"--{name}: got {got!r} with --ssl_temporal_loss, expected {value or 'none'}")
    for name in ("ssl_proj_dim", "ssl_num_slices", "ssl_num_points"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name}: got {getattr(args, name)}, expected a positive integer")
    if args.num_timesteps < 2:
        raise ValueError(f"--num_timesteps: got {args.num_timesteps}, expected 2 or more with --ssl_temporal_loss")


def _apply_preset(args: argparse.Namespace) -> None:
    chosen = [name for name in PRESETS if getattr(args, name)]
    if len(chosen) > 1:
        raise ValueError(f"--{chosen[1]}: got it beside --{chosen[0]}, expected one preset")
    augmentation = args.augmentation
    for name in chosen:
        vars(args).update(PRESETS[name])
    args.augmentation = augmentation or (args.augmentation if chosen else "randaugment")
