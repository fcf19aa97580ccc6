"""`cssm data convert SET ROOT OUT`: a published layout on disk to record files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cssm.cli.arguments import positive_int
from cssm.cli.bad_input import BadInputError


def add_parser(subparsers: Any) -> None:
    """Adds `convert` to the commands of `data`, with a command of its own for each set."""
    about = "published layouts (PNG trees, npy, JPEG folders) to record files"
    parser = subparsers.add_parser("convert", help=about, description=about)
    sets = parser.add_subparsers(dest="data_set", required=True, metavar="SET")
    for name, difficulties in (("pathfinder", "9, 14, 20 or 25"), ("cabc", "easy, medium or hard")):
        images = _add_set(sets, name, "PNG tree -> record files of images")
        kind = positive_int if name == "pathfinder" else str
        images.add_argument("--difficulty", type=kind, required=True, help=difficulties)
        images.add_argument("--image-size", type=positive_int, default=224, help="pixels are resized to it (224)")
        images.add_argument(
            "--encoding",
            choices=("float32", "uint8", "png"),
            default="float32",
            help="of pixels: float32, as published, or a twelfth and less of its size",
        )
    clips = _add_set(sets, "pathtracker", "npy clips -> record files of clips")
    clips.add_argument("--gzip", action="store_true", help='the form of the original release, "15-dist", of uint8')
    clips.add_argument("--num-frames", type=positive_int, help="kept of each clip; not with --gzip (all)")
    clips.add_argument("--train", type=positive_int, default=20_000, help="clips to train and validate on (20000)")
    clips.add_argument("--test", type=positive_int, default=2_000, help="clips to test on (2000)")
    jpeg = _add_set(sets, "imagenet", "JPEG folders -> record files of the same bytes")
    jpeg.add_argument("--split", choices=("train", "val"), required=True)
    jpeg.add_argument("--shards", type=positive_int, help="how many files (1024 of train, 128 of val)")


def _add_set(sets: Any, name: str, about: str) -> argparse.ArgumentParser:
    parser = sets.add_parser(name, help=about, description=about)
    parser.add_argument("root", type=Path, metavar="ROOT", help="directory of the published layout")
    parser.add_argument("out", type=Path, metavar="OUT", help="directory to write to")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Converts, and prints how many samples each split has; 0.

    Raises:
      BadInputError: the layout is not there, lacks samples, or the output has files already.
    """
    try:
        sizes = _convert(args)
    except (ValueError, FileExistsError) as error:
        raise BadInputError(error) from error
    print(f"{args.out}: " + ", ".join(f"{size} {split}" for split, size in sizes.items()))
    return 0


def _convert(args: argparse.Namespace) -> dict[str, int]:
    from cssm.data.convert import imagenet, images, pathtracker

    if args.data_set == "pathfinder":
        return images.convert_pathfinder(
            args.root, args.out, args.difficulty, image_size=args.image_size, encoding=args.encoding
        )
    if args.data_set == "cabc":
        return images.convert_cabc(
            args.root, args.out, args.difficulty, image_size=args.image_size, encoding=args.encoding
        )
    if args.data_set == "imagenet":
        return imagenet.convert_imagenet(args.root, args.out, args.split, args.shards)
    if not args.gzip:
        return pathtracker.convert_legacy(
            args.root, args.out, num_frames=args.num_frames, train=args.train, test=args.test
        )
    if args.num_frames is not None:
        raise ValueError("--num-frames: got it with --gzip, expected one of them: loaders thin those clips out")
    return pathtracker.convert_gzip(args.root, args.out, train=args.train, test=args.test)
