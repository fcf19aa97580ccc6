"""The command `cssm`, of subcommands, one module each.

A subcommand's module has `add_parser(subparsers)`, which sets its `run(args) -> exit code` as the parser's default, and
imports what it works with inside `run`: `cssm --help` and every other subcommand do without it.
"""

from __future__ import annotations

import argparse
import sys

from cssm.cli import data, describe, evaluate, sweep, train
from cssm.cli.bad_input import BadInputError

COMMANDS = (data, describe, evaluate, sweep, train)


def main(argv: list[str] | None = None) -> int:
    """Entry point: the exit code of the subcommand; 2 for bad input, with a message on stderr."""
    parser = argparse.ArgumentParser(prog="cssm", description="Spectral state-space models over space and time.")
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    args = parser.parse_args(argv)
    try:
        return args.run(args)
    except BadInputError as error:
        print(f"cssm {args.command}: {error}", file=sys.stderr)
        return 2
