"""The variables of a module, leaf by leaf."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax


class Leaf(NamedTuple):
    """One array of a tree: its path, names joined by "/", its shape and its dtype."""

    path: str
    shape: tuple[int, ...]
    dtype: Any

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize


def leaves(tree: Any) -> list[Leaf]:
    """The leaves of a tree of arrays, or of their shapes and dtypes, in its order."""
    return [
        Leaf(jax.tree_util.keystr(path, simple=True, separator="/"), leaf.shape, leaf.dtype)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]
