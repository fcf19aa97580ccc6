"""A training step of a published run, built from the arguments that its grid gives."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cssm.data.convert.pathtracker import convert_gzip
from cssm.data.make import make_set
from cssm.data.normalisation import IMAGENET
from cssm.data.pathfinder import PathfinderConfig
from cssm.data.pathtracker import PathTrackerConfig
from cssm.models.shvit import CSSMSHViT
from cssm.sweep import grid
from cssm.train import flags, loop, optimiser
from cssm.train.state import TrainState
from cssm.train.step import Batch, Objective, Pixels, train_step

IMAGENET_CLASSES, IMAGENET_SAMPLES = 1000, 1_281_167
TIMM = {"label_smoothing": 0.1, "ema_decay": 0.9998}
"""What `--timm_recipe` sets of a step; grids need not repeat it. Source: training specification 11.1."""
RENAMED = {"gate_type_cssm": "gate_type"}
"""Flags that the model calls otherwise."""


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
    def arguments(self) -> grid.Run:
        """As the grid has them."""
        runs = {run.name: run for run in grid.load(grid.find(self.sweep)).runs}
        return runs[self.run]

    def step(self) -> Step:
        """The first step of the run, with `here` samples."""
        if self.arguments.args["project"] == "cssm-imagenet-edge":
            return imagenet_step(self.arguments, self.here)
        return trainer_step(self.arguments, self.here)


def trainer_step(run: grid.Run, samples: int, *more: str) -> Step:
    """The step of `cssm train` with a run's flags and `more`, its first batch from a small set made for it."""
    with tempfile.TemporaryDirectory() as folder:
        sets = {name: str(Path(folder) / name) for name in run.placeholders()}
        words = [*run.flags(sets), "--batch_size", str(samples), "--num_workers", "0", "--no_jit_cache", *more]
        args = flags.settle(flags.parser().parse_args(words))
        SETS[args.dataset](Path(sets.popitem()[1]), args, samples)
        made = loop.Run(args, jax.devices()[:1])
        batch = next(iter(made.task.training))
        function = train_step(made.objective, made.optimiser, args.ema_decay or None)
        return Step(function, made.train_step, made.state, batch)


def _pathfinder(root: Path, args: Any, samples: int) -> None:
    config = PathfinderConfig.scaled(int(args.pathfinder_difficulty))
    make_set("pathfinder", root, config, seed=0, count=2 * samples + 16)


def _girik(root: Path, args: Any, samples: int) -> None:
    """Two files of training clips: the last one is held out."""
    make_set("pathtracker", root / "clips", PathTrackerConfig(frames=args.seq_len), seed=0, count=2 * samples + 16)
    for number in range(2):
        convert_gzip(root / "clips", root, train=samples + 4, test=4, batch=number)


SETS: Mapping[str, Callable[[Path, Any, int], None]] = {"pathfinder": _pathfinder, "girik": _girik}


@dataclass(frozen=True)
class _Images(Objective):
    """Of a model that repeats images itself."""

    def inputs(self, batch: Batch, key: Any) -> Any:
        return self.pixels(batch["image"])


def imagenet_step(run: grid.Run, samples: int, **fields: Any) -> Step:
    """A step of CSSM-SHViT with a run's arguments, after augmentation: of noise, in uint8. `fields` of the model replace the
    run's."""
    args = {RENAMED.get(name, name): value for name, value in run.args.items()}
    given: dict[str, Any] = {name: value for name, value in args.items() if name in CSSMSHViT.__dataclass_fields__}
    given |= {"kernel_sizes": (args["kernel_size"],) * 4, "num_classes": IMAGENET_CLASSES}
    given |= {"dtype": jnp.bfloat16} if args.get("precision") == "bf16" else {}
    model = CSSMSHViT.sized(str(args["model_size"]), **given | fields)
    updates = IMAGENET_SAMPLES // run.batch * int(args["epochs"])
    schedule = optimiser.learning_rate(float(args.get("lr", 1e-3)), updates)
    rule = optimiser.make_optimiser(schedule, weight_decay=float(args["weight_decay"]))
    objective = _Images(model, Pixels(255.0, *IMAGENET), label_smoothing=TIMM["label_smoothing"])
    side, rng = int(args["image_size"]), np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (samples, side, side, 3), np.uint8),
        "label": rng.integers(0, model.num_classes, samples, np.int32),
    }

    def fresh(key: jax.Array) -> TrainState:
        variables = model.init(key, jnp.zeros((1, side, side, 3)), training=False)
        return TrainState.create(variables, rule, key, with_ema=True)

    function = train_step(objective, rule, TIMM["ema_decay"])
    return Step(function, jax.jit(function, donate_argnums=0), jax.jit(fresh)(jax.random.PRNGKey(0)), batch)
