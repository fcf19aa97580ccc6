"""The run: from flags to a trained model, going on from where a run of the same name was stopped."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cssm.train import checkpoints, flags, mesh, recipes, records, step
from cssm.train.batches import HostBatch
from cssm.train.state import TrainState

INTERRUPTED = 75
"""Exit code of a run that was told to stop, and can go on: EX_TEMPFAIL."""

UNTRACED = 10
"""Steps before the traced ones: compilation is none of them."""


@dataclass
class Progress:
    """What a checkpoint keeps beside the state, as JSON."""

    data: Any
    best_loss: float = float("inf")
    best_acc: float = 0.0
    stale: int = 0  # evaluations without a better accuracy

    def see(self, loss: float, acc: float, metric: str) -> bool:
        """Take note of an evaluation; whether it is the best by `metric`."""
        better = loss < self.best_loss if metric == "loss" else acc > self.best_acc
        self.stale = 0 if acc > self.best_acc else self.stale + 1
        self.best_loss, self.best_acc = min(loss, self.best_loss), max(acc, self.best_acc)
        return better


class Run:
    """A training run.

    Args:
      args: flags, settled (`recipes.settle`).
      devices: those to train on (all).

    Raises:
      ValueError: flags that do not fit together.
    """

    def __init__(self, args: argparse.Namespace, devices: Sequence[Any] | None = None) -> None:
        self.args = args
        self.directory = flags.output_directory(args)
        self.mesh = mesh.data_mesh(devices)
        self.recipe = recipes.make(args, self.mesh.devices.size)
        self.task, self.objective, self.optimiser = self.recipe.task, self.recipe.objective, self.recipe.optimiser
        self.total_steps, self.steps_per_epoch = self.recipe.total_steps, self.recipe.steps_per_epoch
        self.state = self._fresh_state()
        shardings = jax.tree.map(lambda leaf: leaf.sharding, self.state)
        batch = mesh.batch_sharding(self.mesh)
        self.train_step = jax.jit(
            step.train_step(self.objective, self.optimiser, args.ema_decay or None),
            donate_argnums=0,
            in_shardings=(shardings, batch),
            out_shardings=(shardings, None),
        )
        self.eval_steps = {
            prefix: jax.jit(step.eval_step(self.objective, averaged), in_shardings=(shardings, batch))
            for prefix, averaged in self.recipe.evaluated.items()
        }
        self.progress = Progress(self.task.training.state())

    def _fresh_state(self) -> TrainState:
        init_key, key = jax.random.split(jax.random.PRNGKey(self.args.seed))
        x = jnp.zeros((1, *self.task.training.info.shape))

        def fresh(init_key: jax.Array, key: jax.Array) -> TrainState:
            variables = dict(self.objective.model.init(init_key, x, training=False))
            variables["params"] = self.recipe.start(variables["params"])
            return TrainState.create(variables, self.optimiser, key, bool(self.args.ema_decay))

        how = mesh.state_sharding(self.mesh, jax.eval_shape(fresh, init_key, key), self.args.param_sharding)
        return jax.jit(fresh, out_shardings=how)(init_key, key)

    def train(self) -> int:
        """Train to the end, or until SIGTERM or SIGINT: 0, or INTERRUPTED once all is saved."""
        saved = checkpoints.Checkpoints(self.directory)
        self._go_on(saved)
        begin = int(self.state.step)
        if self._is_stale():
            print(f"{self.directory}: was stopped early after step {begin}", flush=True)
            return 0
        log = self._records(begin)
        with closing(saved), closing(log), closing(iter(self.task.training)) as batches, _stop_signals() as stopped:
            if begin == 0:
                log.write(0, {"num_params": sum(leaf.size for leaf in jax.tree.leaves(self.state.params))})
            return self._steps(saved, log, batches, begin, stopped)

    def _records(self, begin: int) -> records.Records | records.Silent:
        """Of this run, from the first of its processes."""
        if jax.process_index():
            return records.Silent()
        if begin == 0:
            self.directory.mkdir(parents=True, exist_ok=True)
            (self.directory / "args.json").write_text(json.dumps(vars(self.args), indent=1, default=str))
        return records.Records(self.directory, begin, vars(self.args), self.args.project if self.args.wandb else None)

    def _go_on(self, saved: checkpoints.Checkpoints) -> None:
        """From the last checkpoint, if there is one."""
        kept = saved.restore(self.state)
        if kept is None:
            return
        self.state, record = kept
        self.progress = Progress(**record["progress"])
        self.task.training.restore(self.progress.data)
        print(f"{self.directory}: goes on after step {int(self.state.step)}", flush=True)

    def _save(self, saved: checkpoints.Checkpoints, best: bool = False) -> None:
        saved.save(self.state, {"progress": vars(self.progress)}, best=best)

    def _steps(
        self,
        saved: checkpoints.Checkpoints,
        log: records.Records | records.Silent,
        batches: Iterator[HostBatch],
        begin: int,
        stopped: list[int],
    ) -> int:
        args, since = self.args, time.perf_counter()
        sharding = mesh.batch_sharding(self.mesh)
        save_steps = args.save_steps or args.save_every * self.steps_per_epoch
        traced = range(begin + 1 + UNTRACED, begin + 1 + UNTRACED + args.profile)
        for number in range(begin + 1, self.total_steps + 1):
            if args.profile and number == traced.start:
                jax.profiler.start_trace(str(self.directory / "profile"))
            with jax.profiler.StepTraceAnnotation("train", step_num=number):
                self.state, metrics = self.train_step(self.state, mesh.place(sharding, next(batches)))
            if args.profile and number in traced and number == min(traced[-1], self.total_steps):
                jax.block_until_ready(self.state)
                jax.profiler.stop_trace()
            self.progress.data = self.task.training.state()
            last = number == self.total_steps
            if number % args.log_every == 0 or last:
                values = {f"train/{name}": float(value) for name, value in metrics.items()}
                now = time.perf_counter()
                seconds, since = now - since, now
                taken = args.log_every if number % args.log_every == 0 else number % args.log_every
                values["train/learning_rate"] = float(self.recipe.schedule(number // args.grad_accum))
                values["timing/step_ms"] = seconds / taken * 1e3
                values["timing/throughput_samples_per_sec"] = taken * self.recipe.batch_size / seconds
                log.write(number, values)
                _show(f"step {number}/{self.total_steps} loss {values['train/loss']:.4f} acc {values['train/acc']:.3f}")
            if number % (args.eval_every * self.steps_per_epoch) == 0 or last:
                if self._evaluate(saved, log, number):
                    return 0
                since = time.perf_counter()
            if number % save_steps == 0 or last or stopped:
                self._save(saved)
            if stopped:
                print(f"\nsignal {stopped[0]}: saved after step {number}", flush=True)
                return INTERRUPTED
        return 0

    def _evaluate(self, saved: checkpoints.Checkpoints, log: records.Records | records.Silent, number: int) -> bool:
        """One evaluation; whether to stop early."""
        values: dict[str, float] = {"epoch": number / self.steps_per_epoch}
        for prefix in self.eval_steps:
            found = self.evaluation(prefix)
            values |= {f"{prefix}{name}": found[name] for name in ("loss", "acc")}
        best = self.progress.see(found["loss"], found["acc"], self.args.best_metric)
        early = self._is_stale()
        values |= {"best_val_acc": self.progress.best_acc, "best_val_loss": self.progress.best_loss}
        log.write(number, values | ({"early_stopped_epoch": values["epoch"]} if early else {}))
        print(f"\nstep {number} val loss {found['loss']:.4f} acc {found['acc']:.4f}", flush=True)
        if best:
            self._save(saved, best=True)
        if early:
            self._save(saved)
        return early

    def _is_stale(self) -> bool:
        """Whether there were too many evaluations without a better accuracy."""
        patience = self.args.early_stopping_patience
        return bool(patience) and self.progress.stale >= patience

    def evaluation(self, prefix: str | None = None) -> dict[str, Any]:
        """{loss, acc} over every held-out sample, with logits and labels of them in order.

        Args:
          prefix: one of `recipe.evaluated`; None: the last one, by which the best checkpoint is chosen.
        """
        eval_step = self.eval_steps[prefix or [*self.eval_steps][-1]]
        sharding = mesh.batch_sharding(self.mesh)
        totals, logits, labels = np.zeros(3), [], []
        index, count = jax.process_index(), jax.process_count()
        for batch in self.task.evaluation:
            share = len(batch["label"]) // count
            mine = {name: value[index * share : (index + 1) * share] for name, value in batch.items()}
            found = eval_step(self.state, mesh.place(sharding, mine))
            totals += [float(found[name]) for name in ("loss", "acc", "count")]
            if count == 1:
                kept = batch["weight"] > 0
                logits.append(np.asarray(found["logits"])[kept])
                labels.append(batch["label"][kept])
        loss, acc = totals[:2] / totals[2]
        return {"loss": float(loss), "acc": float(acc), "logits": logits, "labels": labels}


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that SIGTERM and SIGINT add themselves to; the second one ends the process as ever."""
    received: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, before[number])

    for number in (int(signal.SIGTERM), int(signal.SIGINT)):
        before[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(line: str) -> None:
    """A line of progress: in place on a terminal."""
    if sys.stdout.isatty():
        print(f"\r{line}", end="", flush=True)


def configure(args: argparse.Namespace) -> None:
    """What has to be set before anything is computed: precision, cache, determinism, processes."""
    if args.bf16:
        jax.config.update("jax_default_matmul_precision", "bfloat16")
    if not args.no_jit_cache:
        cache = os.environ.get("JAX_COMPILATION_CACHE_DIR", os.path.expanduser("~/.cache/jax_compilation_cache"))
        jax.config.update("jax_compilation_cache_dir", cache)
    mesh.join(
        args.coordinator,
        args.num_processes or None,
        args.process_id if args.process_id >= 0 else None,
    )
