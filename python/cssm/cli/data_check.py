"""`cssm data check PATH`: reads and decodes every record, and reports as JSON."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cssm.cli.bad_input import BadInputError


def add_parser(subparsers: Any) -> None:
    """Adds `check` to the commands of `data`."""
    parser = subparsers.add_parser(
        "check",
        help="read and decode every record of a data set",
        description="Reads every record, compares its CRCs, decodes its sample, and prints a report as JSON. Exit code 1"
        " where anything is corrupt.",
    )
    parser.add_argument("path", type=Path, metavar="PATH", help="a record file, or a directory that has some")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the report; 1 where anything is corrupt, and otherwise 0.

    Raises:
      BadInputError: there are no record files.
    """
    from cssm.data.check import check_files, find_files, report_json

    try:
        files = find_files(args.path)
    except ValueError as error:
        raise BadInputError(error) from error
    report = check_files(files)
    print(report_json(report))
    return 1 if report["corrupted_files"] else 0
