"""The command `cssm`, of subcommands, one module each.

A subcommand's module has `add_parser(subparsers)`, which sets its `run(args) -> exit code` as the parser's default, and
imports what it works with inside `run`: `cssm --help` and every other subcommand do without it. One that makes large arrays
sets `large_arrays` too.
"""

from __future__ import annotations

import argparse
import sys

from cssm.cli import data, describe, evaluate, sweep, train, train_imagenet
from cssm.cli.bad_input import BadInputError
from cssm.cli.platforms import runs_on_cpu

COMMANDS = (data, describe, evaluate, sweep, train, train_imagenet)


def main(argv: list[str] | None = None) -> int:
    """Entry point: the exit code of the subcommand; 2 for bad input, with a message on stderr.

    From the command line (`argv` None) and on CPU, the process starts again with a tuned malloc where arrays are large.
    """
    parser = argparse.ArgumentParser(prog="cssm", description="Spectral state-space models over space and time.")
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    args = parser.parse_args(argv)
    if argv is None and getattr(args, "large_arrays", False) and runs_on_cpu():
        from cssm_kernels import restart_with_tuned_allocator

        restart_with_tuned_allocator()
    try:
        return args.run(args)
    except BadInputError as error:
        print(f"cssm {args.command}: {error}", file=sys.stderr)
        return 2
