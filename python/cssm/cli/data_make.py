"""`cssm data make SET`: a generated set on disk, in the published layout."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cssm.cli.arguments import positive_int, setting
from cssm.cli.bad_input import BadInputError


def add_parser(subparsers: Any) -> None:
    """Adds `make` to the commands of `data`, with a command of its own for each set."""
    about = "generate a set, in its published layout on disk"
    parser = subparsers.add_parser("make", help=about, description=about)
    sets = parser.add_subparsers(dest="data_set", required=True, metavar="SET")
    pathfinder = _add_set(sets, "pathfinder", "PathfinderConfig", "contour_length=9")
    pathfinder.add_argument(
        "--scaled", action="store_true", help="drawn at 128 x 128 by the scaled preset, not at 300 x 300"
    )
    _add_set(sets, "pathtracker", "PathTrackerConfig", "frames=64")
    cabc = _add_set(sets, "cabc", "CabcConfig", "difficulty=hard")
    cabc.add_argument("--split", choices=("train", "test"), default="train", help="folder to write to (train)")


def _add_set(sets: Any, name: str, config: str, example: str) -> argparse.ArgumentParser:
    about = f"samples of the {name} generator; a run that was interrupted goes on"
    parser = sets.add_parser(name, help=about, description=about)
    parser.add_argument("--out", type=Path, required=True, help="directory of the layout")
    parser.add_argument("--count", type=positive_int, required=True, help="how many samples")
    parser.add_argument("--seed", type=int, default=0, help="of the set (0)")
    parser.add_argument("--workers", type=positive_int, default=1, help="processes (1)")
    parser.add_argument(
        "--set",
        action="append",
        type=setting,
        default=[],
        dest="settings",
        metavar="FIELD=VALUE",
        help=f"a field of {config}, such as {example}; may be repeated",
    )
    parser.set_defaults(run=run, split="train", scaled=False)
    return parser


def run(args: argparse.Namespace) -> int:
    """Writes what is missing, with a line of progress on stderr; 0.

    Raises:
      BadInputError: a field that is unknown or out of range, or a directory with another set.
    """
    from cssm.data.make import KINDS, make_set, metadata
    from cssm.data.pathfinder import PathfinderConfig

    make_config = PathfinderConfig.scaled if args.scaled else KINDS[args.data_set].config
    try:
        if args.seed < 0:
            raise ValueError(f"--seed: got {args.seed}, expected a non-negative integer")
        config = make_config(**dict(args.settings))
        folder = make_set(
            args.data_set,
            args.out,
            config,
            args.seed,
            args.count,
            split=args.split,
            workers=args.workers,
            progress=_progress(args.count),
        )
    except (ValueError, TypeError) as error:
        raise BadInputError(error) from error
    made = metadata(folder)
    line = f"{args.out}: {args.count} samples, {100 * made['label'].mean():.1f}% with label 1"
    if "draws" in made:
        line += f", {100 * (1 - 1 / made['draws'].mean()):.1f}% of target and decoy drawn again"
    print(line)
    return 0


def _progress(count: int) -> Callable[[int], None]:
    """A line that is written over: samples, and samples a second since the first call."""
    first: list[float] = []

    def show(done: int) -> None:
        now = time.monotonic()
        if not first:
            first.extend((now, done))
        rate = (done - first[1]) / max(now - first[0], 1e-9)
        print(
            f"\r{done}/{count} samples, {rate:.0f}/s ", end="\n" if done == count else "", file=sys.stderr, flush=True
        )

    return show
