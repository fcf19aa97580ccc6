"""`cssm data ...`: data sets, of commands of its own, one module each, laid out as those of `cssm`."""

from __future__ import annotations

from typing import Any

from cssm.cli import data_check, data_convert, data_inspect, data_make

DATA_COMMANDS: tuple[Any, ...] = (data_make, data_convert, data_check, data_inspect)


def add_parser(subparsers: Any) -> None:
    """Adds `data` to the subcommands."""
    about = "make, convert, check and inspect data sets"
    parser = subparsers.add_parser("data", help=about, description=about)
    commands = parser.add_subparsers(dest="data_command", required=True)
    for command in DATA_COMMANDS:
        command.add_parser(commands)
