"""Small sets in the published layouts, from which a first batch is read."""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from cssm.data.convert.pathtracker import convert_gzip
from cssm.data.make import make_set
from cssm.data.pathfinder import PathfinderConfig
from cssm.data.pathtracker import PathTrackerConfig
from cssm.data.schemas.jpeg import encode_jpeg
from cssm.data.shards import write_shards
from PIL import Image

IMAGENET_CLASSES = 1000
HELD_OUT = 4


def pathfinder(root: Path, args: argparse.Namespace) -> None:
    """Images drawn at 128 x 128; a fifth or so is held out."""
    config = PathfinderConfig.scaled(int(args.pathfinder_difficulty))
    make_set("pathfinder", root, config, seed=0, count=2 * args.batch_size + 16)


def girik(root: Path, args: argparse.Namespace) -> None:
    """Two files of training clips: the last one is held out."""
    count = args.batch_size + HELD_OUT
    make_set("pathtracker", root / "clips", PathTrackerConfig(), seed=0, count=2 * count)
    for number in range(2):
        convert_gzip(root / "clips", root, train=args.batch_size, test=HELD_OUT, batch=number)


def imagenet(root: Path, args: argparse.Namespace) -> None:
    """JPEG files of noise, of classes drawn from all."""
    rng = np.random.default_rng(0)
    for number in range(IMAGENET_CLASSES):
        (root / "train" / f"n{number:08d}").mkdir(parents=True)
    for split, count in (("train", args.batch_size), ("val", HELD_OUT)):
        payloads = [
            encode_jpeg(_noise(rng, args.image_size), int(rng.integers(IMAGENET_CLASSES))) for _ in range(count)
        ]
        write_shards(root / split, payloads, count, count, f"{split}-{{:05d}}-of-{{:05d}}.tfrecord".format)


def _noise(rng: np.random.Generator, side: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


MAKERS: Mapping[str, Callable[[Path, argparse.Namespace], None]] = {
    "pathfinder": pathfinder,
    "girik": girik,
    "imagenet": imagenet,
}
"""By the placeholder that stands for the set's directory in the grids."""
