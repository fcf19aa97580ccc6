"""What the generators share: sample `index` of a set is a function of (config, seed, index) and of nothing else.

So a set needs no files, any process can make any part of it, and an interrupted run goes on where it stopped. Whatever
decides a pixel is an integer, or is rounded far above the last bit of the platform's cosine.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def sample_rng(seed: int, index: int) -> np.random.Generator:
    """The generator of one sample."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, index))))


def fixed(x: np.ndarray, bits: int = 20) -> np.ndarray:
    """int64 round(x 2^bits): the same on every platform whose functions err by a few last bits."""
    return np.rint(np.asarray(x) * 2.0**bits).astype(np.int64)


class GeneratedSource:
    """Random access to `count` samples of one (config, seed), made as they are asked for: len(source), source[i].

    Args:
      config: of the generator.
      seed: a non-negative integer; training and test sets have different seeds.
      count: how many samples there are.

    Raises:
      ValueError: a negative seed or count.
      IndexError: by source[i], for i outside of [-count, count).
    """

    def __init__(self, config: Any, seed: int, count: int):
        for name, value in (("seed", seed), ("count", count)):
            if operator.index(value) < 0:
                raise ValueError(f"{name}: got {value}, expected a non-negative integer")
        self.config, self.seed, self.count = config, operator.index(seed), operator.index(count)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, np.ndarray | int]:
        i = operator.index(index)
        if not -self.count <= i < self.count:
            raise IndexError(f"index: got {i}, expected one in [{-self.count}, {self.count})")
        return self.sample(i % self.count)

    def sample(self, index: int) -> dict[str, np.ndarray | int]:
        """{"image" or "video": uint8, "label": int}"""
        raise NotImplementedError

    def __repr__(self) -> str:  # data loaders compare it when they resume
        return f"{type(self).__name__}({self.config!r}, seed={self.seed}, count={self.count})"


def check_at_least(config: Any, **least: float) -> None:
    """Raises ValueError where a field is below its least value."""
    for name, bound in least.items():
        value = getattr(config, name)
        if not value >= bound:
            raise ValueError(f"{name}: got {value}, expected at least {bound}")
