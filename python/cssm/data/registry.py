"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cssm.data.normalisation import IMAGENET, Normalisation


class Source(Protocol):
    """Random access to samples {"image": (H, W, 3) or "video": (F, H, W, 3), uint8 or float32; "label": int}.

    It may be asked from several threads at once, and is pickled where there are worker processes. A float32 sample is
    normalised already. Where a source has a `repr` of its own, a loader resumes only with the same.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Request:
    """What a loader asks a data set for.

    Fields:
      split: train, val or test.
      root: directory of the data, for sets that have one.
      num_frames: of a clip; None: all. Loaders take them out of longer clips: a generator may, but need not, make so many.
      image_size: of the samples; None: what there is. Loaders resize others.
      difficulty: a level, such as 14 or "easy".
      cache: directory for decompressed copies; None: beside the data.
    """

    split: str
    root: Path | None = None
    num_frames: int | None = None
    image_size: int | None = None
    difficulty: int | str | None = None
    cache: Path | None = None

    def need_root(self) -> Path:
        """The root.

        Raises:
          ValueError: none is given, or it is no directory.
        """
        if self.root is None or not self.root.is_dir():
            raise ValueError(f"root: got {None if self.root is None else str(self.root)!r}, expected a directory")
        return self.root

    def one_of(self, *splits: str) -> str:
        """The split.

        Raises:
          ValueError: it is none of these.
        """
        if self.split not in splits:
            raise ValueError(f"split: got {self.split!r}, expected one of {', '.join(splits)}")
        return self.split


@dataclass(frozen=True)
class DataSet:
    """One split of a data set.

    Fields:
      source: its samples.
      num_classes: their labels are 0 ... num_classes - 1.
      normalisation: of samples that are uint8.
      counts: samples by split, as far as they are known.
      draw: sample i with an augmentation drawn from a generator, in place of source[i].
    """

    source: Source
    num_classes: int = 2
    normalisation: Normalisation = IMAGENET
    counts: dict[str, int] = field(default_factory=dict)
    draw: Callable[[int, np.random.Generator], dict[str, Any]] | None = None


SourceFactory = Callable[[Request], DataSet]

_FACTORIES: dict[str, SourceFactory] = {}


def register(name: str, source_factory: SourceFactory) -> None:
    """Makes a data set known to `make_loader`.

    Raises:
      ValueError: the name is taken.
    """
    if name in _FACTORIES:
        raise ValueError(f"name: got {name!r}, which is taken, expected another")
    _FACTORIES[name] = source_factory


def factory(name: str) -> SourceFactory:
    """The factory registered under a name.

    Raises:
      ValueError: there is none.
    """
    if name not in _FACTORIES:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(sorted(_FACTORIES))}")
    return _FACTORIES[name]
