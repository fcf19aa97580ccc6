"""`cssm train-imagenet`: the ImageNet recipe in the same trainer, with its published flags."""

from __future__ import annotations

from typing import Any

from cssm.cli.train import run
from cssm.train.imagenet import flags


def add_parser(subparsers: Any) -> None:
    """Adds `train-imagenet` to the subcommands."""
    parser = subparsers.add_parser(
        "train-imagenet",
        help="train a model on ImageNet",
        description="Train a model on ImageNet. A run of the same name goes on.",
    )
    flags.add_flags(parser)
    parser.set_defaults(run=run, large_arrays=True)
