"""Small runs of the trainer, in this process or in others."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from cssm.train import flags
from cssm.train.records import LOG

FLAGS = (
    "--dataset pathtracker_mini --cssm no_gate --embed_dim 4 --kernel_size 5 --stem_mode pathtracker --pos_embed none "
    "--norm_type global_layer --pool_type max --batch_size 8 --lr 3e-3 --kernel_std 0.1 --steps_per_epoch 8 "
    "--log_every 1 --no_jit_cache --early_stopping_patience 0"
)


def arguments(directory: Path, *more: str) -> list[str]:
    """Of the command, for a run in `directory`."""
    return [*FLAGS.split(), "--checkpoint_dir", str(directory), "--run_name", "run", *more]


def settled(directory: Path, *more: str) -> argparse.Namespace:
    """The flags as `Run` takes them."""
    return flags.settle(flags.parser().parse_args(arguments(directory, *more)))


def start(directory: Path, *more: str) -> subprocess.Popen[bytes]:
    """A process of its own, with one device."""
    environment = dict(os.environ, XLA_FLAGS="--xla_force_host_platform_device_count=1", JAX_PLATFORMS="cpu")
    command = [sys.executable, "-m", "cssm", "train", *arguments(directory, *more)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def log(directory: Path) -> list[dict[str, Any]]:
    """Records of the run so far, without what differs from run to run."""
    path = directory / "run" / LOG
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    return [{name: value for name, value in record.items() if "timing" not in name} for record in whole]


def losses(directory: Path) -> list[float]:
    """Of each step."""
    return [record["train/loss"] for record in log(directory) if "train/loss" in record]
