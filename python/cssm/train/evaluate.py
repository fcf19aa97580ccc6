"""What a trained model gets right: accuracy, confusion, calibration, and a picture of its decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BINS = 10
MOST_WRITTEN = 20  # classes of a confusion that is written out
SHOWN = 12


class Scores(NamedTuple):
    """Of N held-out samples of K classes.

    Fields:
      accuracy, loss: means.
      confusion: (K, K) counts, rows the labels.
      calibration: (bins, 3): mean confidence, accuracy and count of the samples with a confidence in each bin of [0, 1].
      calibration_error: sum over the bins of count / N |confidence - accuracy|.
    """

    accuracy: float
    loss: float
    confusion: np.ndarray
    calibration: np.ndarray
    calibration_error: float


def scores(logits: np.ndarray, labels: np.ndarray) -> Scores:
    """Of logits (N, K), float, and labels (N,), int.

    Raises:
      ValueError: no samples, or shapes that do not fit.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(f"logits, labels: got shapes {logits.shape}, {labels.shape}, expected (N, K), (N,) with N > 0")
    classes = logits.shape[1]
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    chosen = log_p.argmax(1)
    confidence, right = np.exp(log_p.max(1)), chosen == labels
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, chosen), 1)
    of_bin = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(of_bin, minlength=BINS)
    means = [np.bincount(of_bin, values, BINS) / np.maximum(count, 1) for values in (confidence, right)]
    calibration = np.stack([*means, count], 1)
    error = float((count / len(labels) * np.abs(calibration[:, 0] - calibration[:, 1])).sum())
    loss = float(-log_p[np.arange(len(labels)), labels].mean())
    return Scores(float(right.mean()), loss, confusion, calibration, error)


def report(found: Scores) -> str:
    """Lines of text."""
    first = f"accuracy {found.accuracy:.4f}, loss {found.loss:.4f}, calibration error {found.calibration_error:.4f}"
    if len(found.confusion) > MOST_WRITTEN:
        return first
    rows = ["  ".join(f"{count:>7}" for count in row) for row in found.confusion]
    return "\n".join([first, "confusion (rows: labels)", *rows])


def draw(found: Scores, samples: dict[str, np.ndarray], logits: np.ndarray, path: Path) -> None:
    """A PNG: calibration, confusion, and the first samples with label and decision, clips as the maximum over time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    grid = figure.add_gridspec(2, SHOWN // 2 + 3)
    axes = figure.add_subplot(grid[0, :3])
    filled = found.calibration[:, 2] > 0
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.plot(found.calibration[filled, 0], found.calibration[filled, 1], "o-")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), title="calibration")
    axes = figure.add_subplot(grid[1, :3])
    axes.imshow(found.confusion, cmap="Blues")
    written = found.confusion if len(found.confusion) <= MOST_WRITTEN else np.empty((0, 0))
    for (row, column), count in np.ndenumerate(written):
        axes.text(column, row, count, ha="center", va="center")
    axes.set(xlabel="decision", ylabel="label", title=f"accuracy {found.accuracy:.3f}")
    for i, image in enumerate(_pictures(samples)[:SHOWN]):
        axes = figure.add_subplot(grid[i % 2, 3 + i // 2])
        axes.imshow(image)
        label, decision = int(samples["label"][i]), int(logits[i].argmax())
        axes.set_title(f"{label} as {decision}", color="green" if label == decision else "red", fontsize=9)
        axes.set_axis_off()
    figure.savefig(path, dpi=120)


def _pictures(samples: dict[str, np.ndarray]) -> list[Any]:
    pixels = samples["video"].max(1) if "video" in samples else samples["image"]
    low, high = pixels.min(), pixels.max()
    scaled = (pixels - low) / max(high - low, 1e-6)
    return [image[..., 0] if image.shape[-1] == 1 else image for image in scaled]
