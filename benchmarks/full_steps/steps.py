"""A training step of a published run, as the trainer builds it from the arguments of the run's grid."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from cssm.sweep import grid
from cssm.train import flags, loop, recipes
from cssm.train.imagenet import flags as imagenet_flags
from cssm.train.state import TrainState
from cssm.train.step import train_step

from benchmarks.full_steps.sets import MAKERS


@dataclass(frozen=True)
class Step:
    """Fields: function: (state, batch) -> (state, metrics); on_cpu: the same, jitted as the trainer has it, and giving its
    state away; state, batch: the first ones."""

    function: Callable[[Any, Any], Any]
    on_cpu: Any
    state: TrainState
    batch: Mapping[str, np.ndarray]

    def shapes(self, batch: int) -> tuple[Any, Any]:
        """Of (state, batch), with so many samples."""
        of = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)  # noqa: E731
        samples = lambda leaf: jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), leaf.dtype)  # noqa: E731
        return jax.tree.map(of, self.state), jax.tree.map(samples, dict(self.batch))


@dataclass(frozen=True)
class Published:
    """A run of a published grid.

    Fields:
      name: in the table.
      sweep, run: the grid and the run's name in it.
      here: samples of a step that this machine has the memory and the patience for.
    """

    name: str
    sweep: str
    run: str
    here: int

    @property
    def batch(self) -> int:
        """Samples of a step, as published."""
        return self._of_grid()[1].batch

    def step(self, samples: int | None = None, *more: str) -> Step:
        """The run's first step, with `here` samples or as many as are given, and `more` flags after its own, on a small
        set made for it."""
        sweep, run = self._of_grid()
        parser = flags.parser() if sweep.command == grid.COMMAND else imagenet_flags.parser()
        (name,) = run.placeholders()
        own = ("--batch_size", str(samples or self.here), "--num_workers", "0", "--no_jit_cache")
        with tempfile.TemporaryDirectory() as folder:
            args = recipes.settle(parser.parse_args([*run.flags({name: folder}), *own, *more]))
            MAKERS[name](Path(folder), args)
            made = loop.Run(args, jax.devices()[:1])
            with closing(iter(made.task.training)) as batches:
                batch = next(batches)
        function = train_step(made.objective, made.optimiser, args.ema_decay or None)
        return Step(function, made.train_step, made.state, batch)

    def _of_grid(self) -> tuple[grid.Sweep, grid.Run]:
        sweep = grid.load(grid.find(self.sweep))
        return sweep, next(run for run in sweep.runs if run.name == self.run)
