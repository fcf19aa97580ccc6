"""What a set gives away to predictors that do not do its task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cssm.data.make import metadata
from cssm.data.probes import distance_accuracy, pixel_accuracy

_SIDE = 32  # of the pixels that a probe sees
_COLOUR = 200
_NUMBER = re.compile(r"(\d+)$")


@dataclass(frozen=True)
class Samples:
    """Samples of a set.

    Fields:
      frames: (n, F, H, W, C), uint8; F is 1 for images.
      label: (n,), 0 or 1.
      markers: (n, 2, 2), (row, column) of the two markers; NaN where a sample's are not known, None where no sample's are.
    """

    frames: np.ndarray
    label: np.ndarray
    markers: np.ndarray | None

    @classmethod
    def of(cls, source: Any, indices: Sequence[int]) -> Samples:
        """Of a random-access source of {"image" or "video", "label"}; markers are found by their colours."""
        chosen = [source[i] for i in indices]
        frames = np.stack([s["video"] if "video" in s else s["image"][None] for s in chosen])
        return cls(frames, np.array([s["label"] for s in chosen]), coloured_markers(frames))


def read_samples(path: Path, limit: int) -> Samples:
    """Up to `limit` samples of a directory of npy clips ({0,1}/*.npy) or PNG images (.../{neg,pos}/**/*.png).

    Markers come from a generated set's metadata, and otherwise from their colours.

    Raises:
      ValueError: fewer than 4 samples, or one label only.
    """
    clips = [(file, int(file.parent.name)) for file in sorted(path.glob("[01]/*.npy"))]
    images = [
        (file, int("pos" in file.parts)) for file in sorted(path.rglob("*.png")) if {"neg", "pos"} & set(file.parts)
    ]
    files = clips or images
    if len(files) < 4 or len({label for _, label in files}) < 2:
        raise ValueError(
            f"path: got {str(path)!r} with {len(files)} samples, expected 4 or more of both labels: "
            "{0,1}/*.npy, or PNG files below neg and pos"
        )
    chosen = np.sort(np.random.default_rng(0).permutation(len(files))[:limit])
    files = [files[i] for i in chosen]
    frames = np.stack([np.load(f) if f.suffix == ".npy" else _png(f)[None] for f, _ in files])
    if clips == []:
        frames = frames.reshape(*frames.shape[:4], -1)
    label = np.array([label for _, label in files])
    markers = _known_markers(path, [file for file, _ in files])
    return Samples(frames, label, coloured_markers(frames) if markers is None else markers)


def _png(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def _known_markers(path: Path, files: list[Path]) -> np.ndarray | None:
    """From the metadata of the one generated set that is there."""
    sets = list(path.rglob("generator.json"))
    if len(sets) != 1:
        return None
    known = metadata(sets[0].parent)
    markers = dict(zip(known.get("index", np.empty(0)).tolist(), known.get("markers", ())))
    numbers = [int(match[1]) if (match := _NUMBER.search(file.stem)) else -1 for file in files]
    return np.stack([markers[n] for n in numbers]) if all(n in markers for n in numbers) else None


def coloured_markers(frames: np.ndarray) -> np.ndarray | None:
    """(n, 2, 2): middles of what is purely red and purely blue in any frame; NaN where a marker hides the other."""
    if frames.shape[-1] != 3:
        return None
    out = np.full((len(frames), 2, 2), np.nan)
    for which, channel in enumerate((0, 2)):
        others = [c for c in range(3) if c != channel]
        pure = np.logical_or.reduce((frames[..., channel] > _COLOUR) & (frames[..., others] < 255 - _COLOUR).all(-1), 1)
        there = pure.any((1, 2))
        for axis in (1, 2):
            across = np.logical_or.reduce(pure[there], 3 - axis)
            last = across.shape[1] - 1 - across[:, ::-1].argmax(1)
            out[there, which, axis - 1] = (across.argmax(1) + last) / 2
    out[np.isnan(out).any((1, 2))] = np.nan
    return None if np.isnan(out).all() else out


def accuracies(samples: Samples) -> dict[str, float]:
    """Held-out accuracy by predictor."""
    out = {"commoner label": max(samples.label.mean(), 1 - samples.label.mean())}
    if samples.markers is not None:
        known = np.isfinite(samples.markers).all((1, 2))
        markers, label = samples.markers[known], samples.label[known]
        out |= {f"marker distance, {bins} bins": distance_accuracy(markers, label, bins) for bins in (16, 32)}
    first, last = (_reduced(samples.frames[:, at]) for at in (0, -1))
    if samples.frames.shape[1] == 1:
        return out | {"pixels": pixel_accuracy(first, samples.label)}
    return out | {
        "pixels of the first frame": pixel_accuracy(first, samples.label),
        "pixels of the last frame": pixel_accuracy(last, samples.label),
        "pixels of both": pixel_accuracy(np.stack([first, last], 1), samples.label),
    }


def _reduced(images: np.ndarray) -> np.ndarray:
    """Means over blocks, to about 32 pixels a side; what does not fill a block is cut off."""
    n, height, width, channels = images.shape
    block = max(1, min(height, width) // _SIDE)
    rows, columns = height // block, width // block
    whole = images[:, : rows * block, : columns * block]
    return whole.reshape(n, rows, block, columns, block, channels).mean((2, 4), dtype=np.float32)


def report(samples: Samples) -> str:
    """Text: how many samples, how bright each class is, and accuracies with the error of chance."""
    n, shape, ones = len(samples.label), samples.frames.shape[1:], samples.label.mean()
    bright = [samples.frames[samples.label == k].mean() for k in (0, 1)]
    lines = [
        f"{n} samples (F, H, W, C) = {shape}, {100 * ones:.1f}% with label 1",
        f"mean pixel: {bright[0]:.3f} with label 0, {bright[1]:.3f} with label 1",
        f"held-out accuracy (chance: 50.0 +- {50 / n**0.5:.1f}%)",
    ]
    lines += [f"  {name:<28}{100 * value:5.1f}%" for name, value in accuracies(samples).items()]
    if samples.markers is None:
        lines.append("  marker distance: no markers found, neither in metadata nor by colour")
    return "\n".join(lines)
