"""Files of a class, in an order that does not depend on the file system."""

from __future__ import annotations

from pathlib import Path

from cssm.data.splits import pathfinder_split


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


def split_pathfinder(root: Path, difficulty: int | str | None) -> dict[str, list[tuple[Path, int]]]:
    """(file, label) of {root}/curv_contour_length_{d}/imgs/{neg,pos}/*.png, by split.

    Raises:
      ValueError: there are no images of a label.
    """
    images = root / f"curv_contour_length_{difficulty}" / "imgs"
    listing = labelled(images / "neg", images / "pos", "*.png")
    return {name: [listing[i] for i in order] for name, order in pathfinder_split(len(listing)).items()}
