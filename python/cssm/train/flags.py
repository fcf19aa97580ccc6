"""The published command line of the trainer: names, defaults and choices. Source: training specification 2.

Choices of the model's own fields are checked by the model.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ARCHITECTURES = ("simple", "vit", "baseline")
# `arch=simple` has its own sizes where none are given.
SIZES = {"simple": {"embed_dim": 32, "depth": 1}, "vit": {"embed_dim": 384, "depth": 12}}

# Groups of (flag, default, help). A default of False makes a switch; None a text without a default.
Rows = Sequence[tuple[str, Any, str]]
MODEL: Rows = (
    ("cssm", "hgru_bi", "registry key of the mixer (`cssm describe --help`)"),
    ("kernel_size", 11, "side of the spatial kernels"),
    ("block_size", 1, "channel-mixing block; 1 is depthwise"),
    ("mixing", "depthwise", "vit: dense or depthwise"),
    ("no_concat_xy", False, "vit: leave out the [X, Y] concatenation"),
    ("gate_activation", "sigmoid", "vit: sigmoid, softplus_clamped or tanh_scaled"),
    ("gate_type", "dense", "dense channel scalar conv dense_decay dense_io factored spectral_conv low_rank"),
    ("gate_rank", 0, "vit: rank of the gates, 0 is full"),
    ("scan_mode", "associative", "accepted as published"),
    ("ssd_chunk_size", 8, "accepted as published"),
    ("use_ssd", False, "accepted as published"),
    ("no_goom", False, "accepted as published"),
    ("no_log", False, "accepted as published"),
    ("use_complex32", False, "bfloat16 planes in the scan"),
    ("use_complex16", False, "accepted as published"),
    ("learned_init", False, "a learned initial state"),
    ("n_register_tokens", 0, "learned frames before the video"),
    ("position_independent_gates", False, "gates of the input before it is rotated"),
    ("readout_state", "xyz", "vit: states read, of x, y, z"),
    ("transformer_readout", "qka", "qka q k a qk qa ka"),
    ("shared_kernel", False, "ablation"),
    ("additive_kv", False, "ablation"),
    ("spectral_clip", False, "ablation"),
    ("asymmetric_qk", False, "ablation"),
    ("no_feedback", False, "ablation"),
    ("no_spectral_clip", False, "ablation"),
    ("use_layernorm", False, "ablation"),
    ("no_k_state", False, "ablation"),
    ("q_temporal", 3, "mg_transformer: temporal extent"),
    ("q_spatial", 5, "mg_transformer: spatial extent"),
    ("stem_mode", "conv", "patch conv default pathtracker; simple takes all but pathtracker as default"),
    ("stem_layers", 2, "convolutions with a pool of 2 each"),
    ("stem_norm_order", "post", "post or pre"),
    ("pos_embed", "spatiotemporal", "spatiotemporal mrope spatial_only separate sinusoidal temporal learnable none"),
    ("act_type", "softplus", "softplus gelu relu"),
    ("norm_type", "layer", "layer batch instance temporal_layer global_layer global_instance"),
    ("stem_norm", "", "instead of norm_type in the stem"),
    ("body_norm", "", "instead of norm_type between blocks"),
    ("readout_norm", "pre", "pre or post"),
    ("pool_type", "mean", "mean or max"),
    ("frame_readout", "last", "last or all"),
    ("max_seq_len", 32, "rows of the learned temporal table"),
    ("patch_size", 16, "vit, baseline"),
    ("stem_stride", 4, "vit: 1 to 4"),
    ("no_pos_embed", False, "vit, baseline"),
    ("num_heads", 6, "attention"),
    ("no_temporal_attn", False, "baseline"),
    ("temporal_attn_every", 3, "baseline"),
    ("rope_mode", "none", "vit: spatiotemporal temporal none"),
    ("use_dwconv", False, "vit"),
    ("output_act", "none", "vit"),
    ("pre_output_act", "none", "vit"),
    ("pooling_mode", "mean", "vit: mean max logsumexp"),
    ("readout_act", "gelu", "vit"),
    ("layer_scale_init", 1e-6, "vit"),
    ("mlp_ratio", 4.0, "attention blocks"),
    ("drop_path_rate", 0.0, "attention blocks, vit, baseline"),
    ("inter_mlp_ratio", 0.0, "channel MLP between blocks"),
    ("short_conv_size", 4, "temporal short convolution, 0 for none"),
    ("short_conv_spatial_size", 3, "spatial short convolution, 0 for none"),
    ("delta_key_dim", 2, "gdn family: d_k"),
    ("output_norm", "rms", "gdn"),
    ("output_gate_act", "silu", "gdn"),
    ("no_input_gates", False, "gdn"),
    ("no_spectral_l2_norm", False, "gdn"),
    ("no_spectral_clamp", False, "gdn"),
    ("qkv_conv_full", False, "gdn: full instead of separable"),
    ("qkv_conv_size", 1, "gdn"),
    ("cross_freq_conv_size", 0, "gdn"),
    ("attn_kernel_size", 7, "gdn_int"),
    ("int_attn_dim", 16, "gdn_int_qk"),
    ("state_dim", 16, "mamba2_seq, gdn_seq"),
    ("expand_factor", 2, "mamba2_seq, gdn_seq"),
    ("flatten_mode", "temporal_spatial", "mamba2_seq, gdn_seq; or per_frame"),
    ("s4nd_d_state", 64, "s4nd, s4nd_full"),
    ("convs5_state_dim", 16, "convs5"),
    ("convs5_num_groups", 1, "convs5"),
)
RUN: Rows = (
    ("batch_size", 8, "samples a step, over all devices"),
    ("epochs", 100, ""),
    ("lr", 1e-4, "peak learning rate"),
    ("weight_decay", 1e-4, ""),
    ("grad_clip", 1.0, "global norm"),
    ("optimizer", "adamw", "adamw muon lamb sgd"),
    ("label_smoothing", 0.0, ""),
    ("bn_train_mode", False, "batch statistics in evaluation"),
    ("seq_len", 8, "frames T"),
    (
        "variable_seq_len",
        False,
        "a batch keeps its last T' frames, T' uniform in [seq_len_min, seq_len]; the others are zero",
    ),
    ("seq_len_min", 4, ""),
    ("early_stopping_patience", 10, "evaluations without a better accuracy; 0 is never"),
    ("seed", 42, ""),
    ("num_workers", 4, "processes that read images"),
    ("prefetch_batches", 2, "batches made ahead"),
    ("bf16", False, "bfloat16 as the default precision of products"),
    ("run_name", None, "name of the run (made of its settings)"),
    ("project", "cssm", "of Weights & Biases"),
    ("checkpointer", "simple", "accepted as published; checkpoints are written by Orbax"),
    ("no_save_best_only", False, "accepted as published: the last checkpoints are kept beside the best one"),
    ("save_best_only", False, "accepted as published"),
    ("save_every", 5, "epochs from a checkpoint to the next"),
    ("eval_every", 1, "epochs from an evaluation to the next"),
    ("log_every", 10, "steps from a record to the next"),
    ("force_multi_gpu", False, "accepted as published: all devices are used"),
    ("dataset", "imagenette", "imagenette pathfinder cabc imagenet pathtracker girik pathtracker_mini pathfinder_mini"),
    ("data_dir", None, "imagenette, or image trees"),
    ("imagenet_dir", None, ""),
    ("pathtracker_dir", None, ""),
    ("tfrecord_dir", None, "shards"),
    ("pathfinder_difficulty", "9", "9 14 20 25"),
    ("cabc_difficulty", "easy", "easy medium hard"),
    ("image_size", 0, "resize to this, where it is not the native size"),
)
OURS: Rows = (
    ("warmup_steps", -1, "instead of min(500, all but one)"),
    ("ema_decay", 0.0, "of the average of the parameters; 0 is none"),
    ("best_metric", "loss", "by which the best checkpoint is chosen: loss or acc"),
    ("kernel_std", 0.0, "standard deviation that spatial kernels start with; 0 is the published one"),
    ("gate_bias", "", "added to biases at the start, by module, as alpha:3,beta:-1"),
    ("curriculum", "", "distractors by step, as 0:0,800:1,1200:2 (generated sets)"),
    ("frames", 8, "frames of a generated clip, of which the last seq_len are given"),
    (
        "variable_timesteps",
        "",
        "frames of generated clips, from step to step in turn, as 6,8,10,12; evaluated at seq_len",
    ),
    ("variable_from", 0, "step from which they vary; seq_len before"),
)
# Of every trainer.
SHARED: Rows = (
    ("resume", None, "directory of a run to go on with; a run of the same name goes on by itself"),
    ("checkpoint_dir", "checkpoints", "runs are directories in it"),
    ("no_wandb", False, "the default: Weights & Biases is used with --wandb"),
    ("no_jit_cache", False, "no persistent compilation cache"),
    ("xla_flags", "", "XLA_FLAGS, set before jax is imported"),
    ("steps", 0, "updates, instead of --epochs"),
    ("steps_per_epoch", 0, "steps from an epoch to the next, where the data has no end"),
    ("grad_accum", 1, "steps whose gradients are averaged for an update"),
    ("decay_all", False, "weight decay of every parameter, as in the published code"),
    ("param_sharding", "replicated", "replicated or fsdp"),
    ("implementation", None, "of the operations: xla for the plain form"),
    ("wandb", False, "records to Weights & Biases as well"),
    ("deterministic", False, "XLA's deterministic operations"),
    ("save_steps", 0, "steps from a checkpoint to the next, instead of --save_every"),
    ("profile", 0, "steps whose trace is written (xprof, Perfetto), after ten others"),
    ("coordinator", None, "address:port of the first process of several"),
    ("num_processes", 0, "processes"),
    ("process_id", -1, "index of this process"),
)


def parser(prog: str = "cssm train") -> argparse.ArgumentParser:
    """The parser of all flags."""
    made = argparse.ArgumentParser(prog=prog, description="Train a model.")
    add_flags(made)
    return made


def add_flags(made: argparse.ArgumentParser) -> None:
    """Adds every flag."""
    made.add_argument("--arch", choices=ARCHITECTURES, default="simple")
    made.add_argument("--embed_dim", type=int, help="channels (simple: 32, otherwise 384)")
    made.add_argument("--depth", type=int, help="blocks (simple: 1, otherwise 12)")
    made.add_argument("--s4nd_bidirectional", action=argparse.BooleanOptionalAction, default=True)
    made.add_argument("--resume_epoch", type=int, help="accepted as published: a checkpoint knows its step")
    made.set_defaults(recipe="path")
    for title, rows in (("model", MODEL), ("run", RUN), ("ours", OURS), ("of every trainer", SHARED)):
        add_rows(made.add_argument_group(title), rows)


def add_rows(group: Any, rows: Rows) -> None:
    """Adds flags as the tables above have them to a parser or a group of one."""
    for name, default, text in rows:
        text = text.replace("%", "%%")
        if default is False:
            group.add_argument(f"--{name}", action="store_true", help=text)
        else:
            kind = str if default is None else type(default)
            shown = f"{text} ({default})" if default not in (None, "") else text
            group.add_argument(f"--{name}", type=kind, default=default, help=shown)


def settle(args: argparse.Namespace) -> argparse.Namespace:
    """Fill in what depends on other flags, and check those that the model does not.

    Raises:
      ValueError: naming the flag, what came and what was expected.
    """
    for name, size in SIZES.get(args.arch, SIZES["vit"]).items():
        if getattr(args, name) is None:
            setattr(args, name, size)
    check(args, positive=("seq_len", "embed_dim", "depth"))
    if args.variable_seq_len and not 1 <= args.seq_len_min <= args.seq_len:
        raise ValueError(f"--seq_len_min: got {args.seq_len_min}, expected 1 to --seq_len, {args.seq_len}")
    args.levels = _levels(args.curriculum)
    args.biases = _biases(args.gate_bias)
    args.frame_counts = _frame_counts(args.variable_timesteps)
    args.run_name = args.run_name or run_name(args)
    return args


def check(args: argparse.Namespace, positive: Sequence[str]) -> None:
    """The flags that every trainer has, and those that are to be positive integers.

    Raises:
      ValueError: naming the flag, what came and what was expected.
    """
    for name in ("batch_size", "epochs", "log_every", "eval_every", "save_every", "grad_accum", *positive):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name}: got {getattr(args, name)}, expected a positive integer")
    for name in ("label_smoothing", "ema_decay"):
        if not 0 <= getattr(args, name) < 1:
            raise ValueError(f"--{name}: got {getattr(args, name)}, expected a number in [0, 1)")
    if args.lr <= 0:
        raise ValueError(f"--lr: got {args.lr}, expected a positive number")
    if args.best_metric not in ("loss", "acc"):
        raise ValueError(f"--best_metric: got {args.best_metric!r}, expected loss or acc")


def run_name(args: argparse.Namespace) -> str:
    """As published: the architecture, its mixer and sizes, after the task."""
    prefix = {
        "pathfinder": f"pf{args.pathfinder_difficulty}_",
        "cabc": f"cabc{args.cabc_difficulty}_",
        "pathtracker": "pt_",
    }.get(args.dataset, "")
    if args.arch == "baseline":
        time = "notime" if args.no_temporal_attn else f"temp{args.temporal_attn_every}"
        return f"{prefix}baseline_d{args.depth}_e{args.embed_dim}_h{args.num_heads}_{time}"
    return f"{prefix}{args.arch}_{args.cssm}_d{args.depth}_e{args.embed_dim}"


def output_directory(args: argparse.Namespace) -> Path:
    """Of the run."""
    return Path(args.resume) if args.resume else Path(args.checkpoint_dir) / args.run_name


def _biases(text: str) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in (part.split(":") for part in text.split(",") if part)}
    except ValueError:
        raise ValueError(f"--gate_bias: got {text!r}, expected MODULE:VALUE,... such as alpha:3,beta:-1") from None


def _frame_counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        counts = (0,)
    if any(count < 1 for count in counts):
        raise ValueError(f"--variable_timesteps: got {text!r}, expected numbers of frames such as 6,8,10,12")
    return counts


def _levels(text: str) -> tuple[tuple[int, int], ...]:
    try:
        levels = tuple((int(step), int(level)) for step, level in (part.split(":") for part in text.split(",") if part))
    except ValueError:
        raise ValueError(f"--curriculum: got {text!r}, expected STEP:DISTRACTORS,... such as 0:0,800:1") from None
    if list(levels) != sorted(levels) or (levels and levels[0][0] != 0):
        raise ValueError(f"--curriculum: got {text!r}, expected steps that rise from 0")
    return levels
