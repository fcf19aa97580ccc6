"""Types of arguments that subcommands share."""

from __future__ import annotations

import argparse
import ast
from typing import Any


def positive_int(text: str) -> int:
    """A size.

    Raises:
      argparse.ArgumentTypeError: not an integer above 0.
    """
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a positive integer")
    return int(text)


def setting(text: str) -> tuple[str, Any]:
    """`field=value` -> (field, value): a Python literal where it is one, and otherwise the text.

    Raises:
      argparse.ArgumentTypeError: no field, or no `=`.
    """
    field, equals, value = text.partition("=")
    if not (field and equals):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected field=value")
    try:
        return field, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return field, value
