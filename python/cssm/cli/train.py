"""`cssm train`: the trainer, with the published flags."""

from __future__ import annotations

import argparse
import os
from typing import Any

from cssm.cli.bad_input import BadInputError
from cssm.train import flags


def add_parser(subparsers: Any) -> None:
    """Adds `train` to the subcommands."""
    parser = subparsers.add_parser(
        "train", help="train a model", description="Train a model. A run of the same name goes on."
    )
    flags.add_flags(parser)
    parser.set_defaults(run=run, large_arrays=True)


def run(args: argparse.Namespace) -> int:
    """Trains, by the recipe that the parser set; 0 at the end, 75 where it was told to stop and can go on.

    Raises:
      BadInputError: flags that do not fit together.
    """
    added = [args.xla_flags] if args.xla_flags else []
    if args.deterministic:
        added.append("--xla_gpu_deterministic_ops=true")
    if added:
        os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *added])
    from cssm.train import recipes
    from cssm.train.loop import Run, configure

    try:
        args = recipes.settle(args)
        configure(args)
        training = Run(args)
    except ValueError as error:
        raise BadInputError(error) from error
    return training.train()
