"""The checkpoints that the published trainers write, in either format.

    simple              <dir>/checkpoint.pkl, a pickled dict: params, epoch, step, and perhaps batch_stats, training_args
    pytree, standard    <dir>, an Orbax checkpoint of the training state

Source: training specification 6, and CSSM model specification 4.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from cssm.checkpoint import safe_pickle
from cssm.checkpoint.compare import Comparison, compare, fit

PICKLE = "checkpoint.pkl"


@dataclass(frozen=True)
class ReferenceCheckpoint:
    """What a published checkpoint holds, as NumPy arrays.

    Attributes:
      path: the file or directory it was read from.
      params, batch_stats: nested dicts of arrays; batch_stats is empty for models without batch norm.
      epoch, step: None where the file has none.
      training_args: the command line of the run, as a dict.
    """

    path: Path
    params: Mapping[str, Any]
    batch_stats: Mapping[str, Any] = field(default_factory=dict)
    epoch: int | None = None
    step: int | None = None
    training_args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """{"params": ..., "batch_stats": ...}, the latter if there are any."""
        return {"params": self.params} | ({"batch_stats": self.batch_stats} if self.batch_stats else {})

    def compare(self, variables: Mapping[str, Any]) -> Comparison:
        """Which leaves are missing, extra or mis-shaped, next to those of a model's variables, or their shapes."""
        return compare(self.variables, variables)

    def fit(self, variables: Mapping[str, Any], *, partial: bool = False) -> dict[str, Any]:
        """A model's `variables` with the values of the checkpoint, in the model's dtypes; `variables` stay as they are.

        With `partial` leaves that do not fit keep the model's values.

        Raises:
          CheckpointMismatch: some leaf does not fit, and not `partial`; the message lists all that do not.
        """
        return fit(self.variables, variables, partial=partial)


def load_reference(path: str | Path) -> ReferenceCheckpoint:
    """Reads a published checkpoint; `fit` then puts it into a model:

        checkpoint = load_reference("runs/pt_simple_no_gate/epoch_60")
        variables = checkpoint.fit(model.init(key, x))

    Args:
      path: `checkpoint.pkl`, a directory that holds one, or an Orbax checkpoint directory.

    Raises:
      FileNotFoundError: there is nothing at `path`.
      ValueError: it is truncated, or holds no parameters. As `RefusedPickle`: the pickle names something that could run
        code; none of it was run.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"path: nothing at {path}")
    if path.is_dir() and (path / PICKLE).exists():
        path = path / PICKLE
    return _checkpoint(path, _orbax(path) if path.is_dir() else _pickle(path))


def _pickle(path: Path) -> Any:
    try:
        return safe_pickle.loads(path.read_bytes())
    except safe_pickle.RefusedPickle as error:
        raise safe_pickle.RefusedPickle(
            f"{path}: refused, for {error}; a checkpoint needs arrays and containers"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _orbax(path: Path) -> Any:
    import orbax.checkpoint as ocp

    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = checkpointer.metadata(path.absolute()).item_metadata
            if tree is None:
                raise ValueError("it has no metadata of arrays")
            as_numpy = ocp.checkpoint_utils.construct_restore_args(tree)
            as_numpy = {key: _numpy_args(value) for key, value in _mapping(as_numpy).items()}
            return checkpointer.restore(path.absolute(), restore_args=as_numpy)
    except Exception as error:  # Orbax raises many kinds for a broken directory
        raise ValueError(f"{path}: no readable Orbax checkpoint ({type(error).__name__}: {error})") from error


def _mapping(tree: Any) -> dict[str, Any]:
    return dict(tree.tree if hasattr(tree, "tree") else tree)


def _numpy_args(tree: Any) -> Any:
    import jax
    import orbax.checkpoint as ocp

    return jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)


def _checkpoint(path: Path, content: Any) -> ReferenceCheckpoint:
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected a dict with 'params'")
    params = content.get("params", content.get("ema_params"))
    if not isinstance(params, Mapping) or not params:
        raise ValueError(f"{path}: no 'params' in it, only {', '.join(map(str, content)) or 'nothing'}")
    arguments = content.get("training_args") or {}
    checkpoint = ReferenceCheckpoint(
        path=path,
        params=_arrays(path, "params", params),
        batch_stats=_arrays(path, "batch_stats", content.get("batch_stats") or {}),
        epoch=_count(content.get("epoch")),
        step=_count(content.get("step")),
        training_args=dict(arguments if isinstance(arguments, Mapping) else vars(arguments)),
    )
    return checkpoint


def _arrays(path: Path, name: str, tree: Any) -> dict[str, Any]:
    """The tree without the `params` that the trainer's state may wrap it in once more, checked to hold arrays alone."""
    if set(tree) == {name}:
        tree = tree[name]
    for leaf_path, leaf in traverse_util.flatten_dict(dict(tree), sep="/").items():
        array = np.asarray(leaf)
        if array.dtype.kind in "OSU":
            raise ValueError(f"{path}: {name}/{leaf_path} is a {type(leaf).__name__}, expected an array of numbers")
    return dict(tree)


def _count(value: Any) -> int | None:
    return None if value is None else int(np.asarray(value))
