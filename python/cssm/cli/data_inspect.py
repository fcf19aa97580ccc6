"""`cssm data inspect PATH`: what predictors that do not do the task reach on a set, and a picture of its samples."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cssm.cli.arguments import positive_int
from cssm.cli.bad_input import BadInputError


def add_parser(subparsers: Any) -> None:
    """Adds `inspect` to the commands of `data`."""
    parser = subparsers.add_parser(
        "inspect",
        help="accuracy of trivial predictors on a set, and a picture of its samples",
        description="Held-out accuracy of predictors that do not do the task: the markers' distance, and a ridge regression "
        "on the pixels of single frames. Beyond chance it is a shortcut.",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="directory with a published layout of PNG or npy files")
    parser.add_argument("--limit", type=positive_int, default=4000, help="samples read, drawn at random (4000)")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw samples of both labels")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the report; 0.

    Raises:
      BadInputError: no samples there, or a picture that cannot be drawn.
    """
    from cssm.data.inspect import read_samples, report

    if args.png is not None:
        _check_can_draw(args.png)
    try:
        samples = read_samples(args.path, args.limit)
        print(report(samples))
    except ValueError as error:
        raise BadInputError(error) from error
    if args.png is not None:
        from cssm.data.sample_grid import draw_grid

        draw_grid(samples, args.png)
        print(f"\n{args.png}")
    return 0


def _check_can_draw(png: Path) -> None:
    if not png.parent.is_dir():
        raise BadInputError(f"--png: got {str(png)!r}, expected a path in a directory that exists")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise BadInputError(
            "--png: matplotlib is not installed; expected the extra `bench`: pip install 'cssm-kernels[bench]'"
        ) from error
