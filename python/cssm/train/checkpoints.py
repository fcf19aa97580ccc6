"""Checkpoints of a run: the last ones, to go on from, and the best one.

Orbax writes each into a directory of another name and renames it when it is whole, so that a process killed at any moment
leaves the checkpoints before it as they were.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from cssm.train.state import TrainState

KEPT = 2


class Checkpoints:
    """In `{directory}/last` the latest two, written beside the training; in `{directory}/best` one.

    Each holds the whole state (step, parameters, batch statistics, optimiser, average, key) and a JSON record: the
    position in the data, the best figures so far, the arguments of the run.
    """

    def __init__(self, directory: Path) -> None:
        directory = directory.absolute()
        self._last = _manager(directory / "last", KEPT)
        self._best = _manager(directory / "best", 1)

    def save(self, state: TrainState, record: Mapping[str, Any], *, best: bool = False) -> None:
        """Write the state after `state.step` steps; returns before it is on disk."""
        manager = self._best if best else self._last
        step = int(state.step)
        if step in manager.all_steps():
            return
        # Orbax writes on threads of its own: on CPU, from the very memory that the next step would be given, and the record
        # as it is by then.
        state, record = jax.tree.map(jnp.copy, state), copy.deepcopy(dict(record))
        manager.save(
            step, args=ocp.args.Composite(state=ocp.args.StandardSave(state), record=ocp.args.JsonSave(record))
        )

    def restore(self, like: TrainState, *, best: bool = False) -> tuple[TrainState, dict[str, Any]] | None:
        """(state, record) of the latest checkpoint, with the types and shardings of `like`; None if there is none."""
        manager = self._best if best else self._last
        step = manager.latest_step()
        if step is None:
            return None
        types = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), like)
        kept = manager.restore(
            step, args=ocp.args.Composite(state=ocp.args.StandardRestore(types), record=ocp.args.JsonRestore())
        )
        return kept["state"], kept["record"]

    def wait(self) -> None:
        """Until all is on disk."""
        self._last.wait_until_finished()
        self._best.wait_until_finished()

    def close(self) -> None:
        """Wait, and let go of the threads."""
        self.wait()
        self._last.close()
        self._best.close()


def _manager(directory: Path, kept: int) -> ocp.CheckpointManager:
    # Two that write at once would meet at each other's barriers.
    barriers = ocp.options.MultiprocessingOptions(barrier_sync_key_prefix=directory.name)
    options = ocp.CheckpointManagerOptions(max_to_keep=kept, create=True, multiprocessing_options=barriers)
    return ocp.CheckpointManager(directory, options=options)
