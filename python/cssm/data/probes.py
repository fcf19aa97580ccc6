"""How far predictors that do not do the task get: what they reach beyond one half is a shortcut of the set.

Each is fitted on one half of the samples and scored on the other, both ways, so every sample is held out once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_PENALTY = 1.0  # of the ridge, in units of the mean squared length of a centred sample


def distance_accuracy(markers: np.ndarray, label: np.ndarray, bins: int = 16) -> float:
    """Held-out accuracy of the commoner label among training samples whose markers are about as far apart.

    Args:
      markers: (n, 2, 2), two points a sample.
      label: (n,), 0 or 1.
      bins: of equally many training samples each.
    """
    distance = np.linalg.norm(np.diff(markers.astype(np.float64), axis=1)[:, 0], axis=-1)

    def predict(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        edges = np.unique(np.quantile(distance[train], np.linspace(0, 1, bins + 1)[1:-1]))
        bin_of = np.searchsorted(edges, distance, side="right")
        votes = np.zeros(len(edges) + 1)
        np.add.at(votes, bin_of[train], 2.0 * label[train] - 1)
        return (votes[bin_of[test]] > 0).astype(label.dtype)

    return _held_out(predict, label)


def pixel_accuracy(pixels: np.ndarray, label: np.ndarray) -> float:
    """Held-out accuracy of a ridge regression from pixels (n, ...) to the label (n,)."""
    x = pixels.reshape(len(pixels), -1).astype(np.float32)

    def predict(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        mean, rate = x[train].mean(0), label[train].mean()
        centred = x[train] - mean
        gram = (centred @ centred.T).astype(np.float64)
        scale = np.trace(gram) / len(train)
        weights = np.linalg.solve(
            gram + max(_PENALTY * scale, 1e-6) * np.eye(len(train)), label[train].astype(np.float64) - rate
        )
        return ((x[test] - mean) @ (centred.T @ weights.astype(np.float32)) > 0.5 - rate).astype(label.dtype)

    return _held_out(predict, label)


def _held_out(predict: Callable[[np.ndarray, np.ndarray], np.ndarray], label: np.ndarray) -> float:
    if len(label) < 4:
        raise ValueError(f"label: got {len(label)} samples, expected at least 4")
    order = np.random.default_rng(0).permutation(len(label))
    halves = np.array_split(order, 2)
    right = sum((predict(train, test) == label[test]).sum() for train, test in (halves, halves[::-1]))
    return float(right / len(label))
