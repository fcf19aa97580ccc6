"""Generated sets on disk, in the published layouts, with a folder of metadata beside the samples.

  pathfinder    {out}/curv_contour_length_{d}/imgs/{neg,pos}/sample_{i}.png       {out}/curv_contour_length_{d}/metadata
  cabc          {out}/{difficulty}/images/{split}/{neg,pos}/{part}/sample_{i}.png {out}/{difficulty}/metadata/{split}
  pathtracker   {out}/{label}/{label}_sample_{i}.npy                              {out}/metadata

Metadata are generator.json (what the set is a function of) and an npz for every hundred samples, written after them: a part
that has its npz is complete, so that an interrupted run goes on with those that have none.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cssm.data import cabc, pathfinder, pathtracker
from cssm.data.atomic import replacing

PART = 100
_CLASSES = ("neg", "pos")

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A generator and its layout.

    Fields:
      config: its class of configurations.
      folder: (out, config, split) -> folder of the metadata.
      write: (out, config, split, seed, indices) -> metadata of these samples, of which the files are written.
    """

    config: type
    folder: Callable[[Path, Any, str], Path]
    write: Callable[[Path, Any, str, int, Sequence[int]], Arrays]


def make_set(
    kind: str,
    out: Path,
    config: Any,
    seed: int,
    count: int,
    *,
    split: str = "train",
    workers: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> Path:
    """Writes samples 0 ... count - 1 of (config, seed); those that are there already are kept.

    Args:
      kind: "pathfinder", "pathtracker" or "cabc".
      out: directory of the layout.
      config: of the generator.
      seed, count: see `GeneratedSource`.
      split: folder of cABC's layout; the others divide a set when they convert it.
      workers: processes.
      progress: is told how many samples there are.

    Returns:
      The folder of the metadata.

    Raises:
      ValueError: the folder has another set.
    """
    out = Path(out)
    folder = KINDS[kind].folder(out, config, split)
    _claim(folder, {"generator": kind, "config": dataclasses.asdict(config), "seed": seed, "count": count})
    left = [start for start in range(0, count, PART) if not _part(folder, start).exists()]
    done = count - sum(min(PART, count - start) for start in left)
    progress(done)
    write = partial(_write_part, kind, out, config, split, seed, count)
    if workers == 1:
        for start in left:
            done += write(start)
            progress(done)
        return folder
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for written in pool.imap_unordered(write, left):
            done += written
            progress(done)
    return folder


def metadata(folder: Path) -> Arrays:
    """The parts' arrays, joined; none where there are none."""
    parts = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as part:
            parts.append(dict(part))
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def _claim(folder: Path, what: dict[str, Any]) -> None:
    file = folder / "generator.json"
    if file.exists():
        have = json.loads(file.read_text())
        if have != what:
            differing = sorted(name for name in what if have.get(name) != what[name])
            raise ValueError(
                f"out: got {str(folder)!r}, which has a set of another {' and '.join(differing)}, expected a new directory, "
                "or what its generator.json says"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(file) as stream:
        stream.write(json.dumps(what, indent=1).encode() + b"\n")


def _part(folder: Path, start: int) -> Path:
    return folder / f"{start:07d}.npz"


def _write_part(kind: str, out: Path, config: Any, split: str, seed: int, count: int, start: int) -> int:
    indices = range(start, min(start + PART, count))
    arrays: dict[str, Any] = {"index": np.array(indices), **KINDS[kind].write(out, config, split, seed, indices)}
    with replacing(_part(KINDS[kind].folder(out, config, split), start)) as file:
        np.savez_compressed(file, **arrays)
    return len(indices)


def _write_png(path: Path, image: np.ndarray) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            Image.fromarray(image).save(file, "PNG")


def _pathfinder_folder(out: Path, config: Any, split: str) -> Path:
    return out / f"curv_contour_length_{config.contour_length}" / "metadata"


def _write_pathfinder(out: Path, config: Any, split: str, seed: int, indices: Sequence[int]) -> Arrays:
    images = _pathfinder_folder(out, config, split).parent / "imgs"
    scenes = [pathfinder.scene(config, seed, i) for i in indices]
    for i, scene in zip(indices, scenes):
        _write_png(images / _CLASSES[scene.label] / f"sample_{i:07d}.png", scene.image)
    return {
        name: np.array([getattr(s, name) for s in scenes]) for name in ("label", "markers", "contours", "distractors")
    }


def _cabc_folder(out: Path, config: Any, split: str) -> Path:
    return out / config.difficulty / "metadata" / split


def _write_cabc(out: Path, config: Any, split: str, seed: int, indices: Sequence[int]) -> Arrays:
    images = out / config.difficulty / "images" / split
    scenes = [cabc.scene(config, seed, i) for i in indices]
    for i, scene in zip(indices, scenes):
        _write_png(images / _CLASSES[scene.label] / f"{i // PART:05d}" / f"sample_{i:07d}.png", scene.image)
    return {name: np.array([getattr(s, name) for s in scenes]) for name in ("label", "markers", "letters")}


def _pathtracker_folder(out: Path, config: Any, split: str) -> Path:
    return out / "metadata"


def _write_pathtracker(out: Path, config: Any, split: str, seed: int, indices: Sequence[int]) -> Arrays:
    made = pathtracker.clips(config, seed, indices)
    for i, label, video in zip(indices, made.label, made.video):
        path = out / str(label) / f"{label}_sample_{i}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                np.save(file, video)
    return {name: getattr(made, name) for name in ("label", "markers", "trajectories", "draws")}


KINDS = {
    "pathfinder": Kind(pathfinder.PathfinderConfig, _pathfinder_folder, _write_pathfinder),
    "pathtracker": Kind(pathtracker.PathTrackerConfig, _pathtracker_folder, _write_pathtracker),
    "cabc": Kind(cabc.CabcConfig, _cabc_folder, _write_cabc),
}
