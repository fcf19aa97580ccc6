"""Two trees of parameters, leaf by leaf: what one has that the other lacks, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """How the leaves of a checkpoint fit those of a model; paths are 'a/b/c', of the collection first.

    Attributes:
      missing: leaves of the model that the checkpoint lacks.
      extra: leaves of the checkpoint that the model lacks.
      misshaped: path -> (shape in the checkpoint, shape in the model).
      mistyped: path -> (dtype in the checkpoint, dtype in the model), where one is floating and the other is not.
    """

    missing: tuple[str, ...]
    extra: tuple[str, ...]
    misshaped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    mistyped: Mapping[str, tuple[str, str]]

    @property
    def fits(self) -> bool:
        """Whether every leaf has its counterpart."""
        return not (self.missing or self.extra or self.misshaped or self.mistyped)

    def __str__(self) -> str:
        if self.fits:
            return "every leaf fits"
        lines = [f"missing in the checkpoint: {path}" for path in self.missing]
        lines += [f"not in the model: {path}" for path in self.extra]
        for what, pairs in (("shape", self.misshaped), ("dtype", self.mistyped)):
            lines += [
                f"{path}: {what} {got} in the checkpoint, {want} in the model" for path, (got, want) in pairs.items()
            ]
        return "\n".join(lines)


class CheckpointMismatch(ValueError):
    """A checkpoint that does not fit a model; `comparison` says where."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__(f"the checkpoint does not fit the model:\n{comparison}")
        self.comparison = comparison


def compare(checkpoint: Tree, variables: Tree) -> Comparison:
    """How the leaves of `checkpoint` fit those of `variables`, arrays or their shapes (`jax.eval_shape`)."""
    got, want = _flat(checkpoint), _flat(variables)
    shared = [path for path in want if path in got]
    return Comparison(
        missing=tuple(path for path in want if path not in got),
        extra=tuple(path for path in got if path not in want),
        misshaped={p: (np.shape(got[p]), want[p].shape) for p in shared if np.shape(got[p]) != want[p].shape},
        mistyped={
            p: (str(_dtype(got[p])), str(want[p].dtype))
            for p in shared
            if _is_floating(_dtype(got[p])) != _is_floating(want[p].dtype)
        },
    )


def fit(checkpoint: Tree, variables: Tree, *, partial: bool = False) -> dict[str, Any]:
    """`variables` with the values of `checkpoint`, in the model's own dtypes. Neither argument is changed.

    Args:
      checkpoint, variables: nested dicts of arrays, {"params": ..., "batch_stats": ...}.
      partial: take the leaves that fit and leave the others as they are in `variables`.

    Raises:
      CheckpointMismatch: some leaf does not fit, and not `partial`.
    """
    comparison = compare(checkpoint, variables)
    if not (comparison.fits or partial):
        raise CheckpointMismatch(comparison)
    got, result = _flat(checkpoint), dict(_flat(variables))
    refused = {*comparison.missing, *comparison.misshaped, *comparison.mistyped}
    for path, leaf in result.items():
        if path not in refused:
            result[path] = jnp.asarray(got[path], leaf.dtype)
    return traverse_util.unflatten_dict(result, sep="/")


def _flat(tree: Tree) -> dict[str, Any]:
    return {path: leaf for path, leaf in traverse_util.flatten_dict(dict(tree), sep="/").items() if leaf is not None}


def _dtype(leaf: Any) -> np.dtype:
    return leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype


def _is_floating(dtype: Any) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.floating))
