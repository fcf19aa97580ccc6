"""The published splits: the listing, sorted, negatives first, in the order of one fixed shuffle.

Source: data specification 1, 3, 4 and 5.1.
"""

from __future__ import annotations

import numpy as np

SEED = 42
PATHTRACKER_TRAIN, PATHTRACKER_TEST = 20_000, 2_000


def shuffled(count: int) -> np.ndarray:
    """The permutation of 0 ... count - 1 that every published split is cut from."""
    order = np.arange(count)
    np.random.RandomState(SEED).shuffle(order)  # the published sequence, which NumPy keeps as it is
    return order


def pathfinder_split(count: int) -> dict[str, np.ndarray]:
    """80 % train, 10 % val, and the rest test."""
    order = shuffled(count)
    train, val = int(0.8 * count), int(0.1 * count)
    return {"train": order[:train], "val": order[train : train + val], "test": order[train + val :]}


def pathtracker_split(
    count: int, train: int = PATHTRACKER_TRAIN, test: int = PATHTRACKER_TEST
) -> dict[str, np.ndarray]:
    """The first `train`, whose last tenth is val, and the next `test`.

    Raises:
      ValueError: fewer samples than both.
    """
    if train + test > count:
        raise ValueError(f"train, test: got {train} and {test}, expected no more than the {count} samples there are")
    order = shuffled(count)
    val = train // 10
    return {
        "train": order[: train - val],
        "val": order[train - val : train],
        "test": order[train : train + test],
    }
