"""`cssm data ...`: data sets, of commands of its own, one module each, laid out as those of `cssm`."""

from __future__ import annotations

from typing import Any

DATA_COMMANDS: tuple[Any, ...] = ()


def add_parser(subparsers: Any) -> None:
    """Adds `data` to the subcommands."""
    parser = subparsers.add_parser("data", help="data sets: convert, check, make and inspect", description=__doc__)
    commands = parser.add_subparsers(dest="data_command", required=True)
    for command in DATA_COMMANDS:
        command.add_parser(commands)
