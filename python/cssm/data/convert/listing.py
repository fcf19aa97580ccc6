"""Files of a class, in an order that does not depend on the file system."""

from __future__ import annotations

from pathlib import Path


def labelled(negatives: Path, positives: Path, pattern: str) -> list[tuple[Path, int]]:
    """(file, label), sorted, negatives first.

    Raises:
      ValueError: there are none of one label.
    """
    listing = []
    for label, folder in enumerate((negatives, positives)):
        files = sorted(folder.glob(pattern))
        if not files:
            raise ValueError(f"{folder}: expected {pattern} in it")
        listing += [(path, label) for path in files]
    return listing
