"""`cssm describe KEY`: parameters, FLOPs and bytes of a layer or a model, and its picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cssm.cli.arguments import positive_int, setting
from cssm.cli.bad_input import BadInputError

MODELS = ("simple", "vit", "shvit", "baseline")
DTYPES = ("float32", "bfloat16", "float16")


def add_parser(subparsers: Any) -> None:
    """Adds `describe` to the subcommands."""
    parser = subparsers.add_parser(
        "describe",
        help="parameters, FLOPs and bytes of a layer or a model, and its picture",
        description="Parameters of a layer or a model, and FLOPs and bytes of one forward call, stage by stage.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("key", nargs="?", metavar="KEY", help="registry key of a layer, such as gated")
    what.add_argument("--model", choices=MODELS, help="a model instead of a layer; C of --shape is that of its input")
    parser.add_argument(
        "--shape",
        nargs=5,
        type=positive_int,
        default=(1, 8, 32, 32, 32),
        metavar=("B", "T", "H", "W", "C"),
        help="of the input (1 8 32 32 32)",
    )
    parser.add_argument(
        "--set",
        action="append",
        type=setting,
        default=[],
        dest="settings",
        metavar="FIELD=VALUE",
        help="a field of the layer or model, as a Python literal or text; may be repeated",
    )
    parser.add_argument("--dtype", choices=DTYPES, help="of the input and the computation (float32)")
    parser.add_argument(
        "--png", type=Path, metavar="PATH", help="draw the transition's spectrum and the receptive field of a layer"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the parameters and the input of the picture (0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the description; 0.

    Raises:
      BadInputError: an unknown key or field, a field the layer refuses, or a picture that cannot be drawn.
    """
    from cssm.describe.report import report
    from cssm.describe.subject import layer, model

    if args.png is not None:
        _check_can_draw(args)
    try:
        if args.model is None:
            subject = layer(args.key, tuple(args.shape), dict(args.settings), args.dtype)
        else:
            subject = model(args.model, tuple(args.shape), dict(args.settings), args.dtype)
    except (ValueError, TypeError) as error:
        raise BadInputError(error) from error
    print(report(subject))
    if args.png is not None:
        from cssm.describe.figure import draw

        draw(subject, args.seed, args.png)
        print(f"\n{args.png}")
    return 0


def _check_can_draw(args: argparse.Namespace) -> None:
    if args.model is not None:
        raise BadInputError(
            f"--png: got a model, {args.model}, expected the KEY of a layer: models do not return frames"
        )
    if not args.png.parent.is_dir():
        raise BadInputError(f"--png: got {str(args.png)!r}, expected a path in a directory that exists")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise BadInputError(
            "--png: matplotlib is not installed; expected the extra `bench`: pip install 'cssm-kernels[bench]'"
        ) from error
