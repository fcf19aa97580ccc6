"""`cssm eval DIR`: a trained run on its held-out samples."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cssm.cli.arguments import positive_int
from cssm.cli.bad_input import BadInputError


def add_parser(subparsers: Any) -> None:
    """Adds `eval` to the subcommands."""
    parser = subparsers.add_parser(
        "eval",
        help="evaluate a trained run",
        description="Accuracy, confusion and calibration of a run's best checkpoint on its held-out samples.",
    )
    parser.add_argument("directory", type=Path, help="of the run: CHECKPOINT_DIR/RUN_NAME")
    parser.add_argument("--last", action="store_true", help="the last checkpoint, not the best one")
    parser.add_argument(
        "--frames", type=positive_int, help="frames of generated clips, instead of those it was trained on"
    )
    parser.add_argument(
        "--seq_len", type=positive_int, help="frames given of each clip, the last ones (all that --frames says)"
    )
    parser.add_argument("--png", type=Path, help="draw calibration, confusion and decisions on samples")
    parser.set_defaults(run=run, large_arrays=True)


def run(args: argparse.Namespace) -> int:
    """Prints the scores; 0.

    Raises:
      BadInputError: no run in the directory, or none with a checkpoint.
    """
    import numpy as np

    from cssm.train import checkpoints, evaluate, recipes
    from cssm.train.loop import Run

    recorded = args.directory / "args.json"
    if not recorded.is_file():
        raise BadInputError(f"directory: got {str(args.directory)!r}, expected that of a run, with args.json")
    values = {"recipe": "path"} | json.loads(recorded.read_text()) | {"resume": str(args.directory)}
    for name, given in (("frames", args.frames), ("seq_len", args.seq_len or args.frames)):
        if given and name not in values:
            raise BadInputError(f"--{name}: got {given} for a run on images, expected none")
        values |= {name: given} if given else {}
    try:
        trained = Run(recipes.settle(argparse.Namespace(**values)))
    except ValueError as error:
        raise BadInputError(error) from error
    saved = checkpoints.Checkpoints(args.directory)
    kept = saved.restore(trained.state, best=not args.last)
    saved.close()
    if kept is None:
        raise BadInputError(f"directory: {args.directory} has no {'last' if args.last else 'best'} checkpoint yet")
    trained.state = kept[0]
    found = trained.evaluation()
    logits, labels = np.concatenate(found["logits"]), np.concatenate(found["labels"])
    scored = evaluate.scores(logits, labels)
    print(f"{args.directory}, after step {int(trained.state.step)}, {len(labels)} samples")
    print(evaluate.report(scored))
    if args.png is not None:
        first = next(iter(trained.task.evaluation))
        evaluate.draw(scored, first, logits, args.png)
        print(args.png)
    return 0
