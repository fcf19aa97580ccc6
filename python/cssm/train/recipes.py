"""The trainers by name: how each settles its flags, and what it makes of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

from cssm.train import flags, path_recipe
from cssm.train.imagenet import flags as imagenet_flags
from cssm.train.imagenet import recipe as imagenet_recipe
from cssm.train.recipe import Recipe


class Trainer(NamedTuple):
    """Fields: settle: of parsed flags, those that a run takes; make: of those and the number of devices, the recipe."""

    settle: Callable[[argparse.Namespace], argparse.Namespace]
    make: Callable[[argparse.Namespace, int], Recipe]


TRAINERS = {
    "path": Trainer(flags.settle, path_recipe.make),
    "imagenet": Trainer(imagenet_flags.settle, imagenet_recipe.make),
}


def settle(args: argparse.Namespace) -> argparse.Namespace:
    """Fill in and check the flags of the trainer `args.recipe`; those that are settled already stay as they are.

    Raises:
      ValueError: naming the flag, what came and what was expected.
    """
    return TRAINERS[args.recipe].settle(args)


def make(args: argparse.Namespace, devices: int) -> Recipe:
    """Of settled flags.

    Raises:
      ValueError: flags that do not fit together.
    """
    return TRAINERS[args.recipe].make(args, devices)
