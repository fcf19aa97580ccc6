"""`python -m benchmarks.demo_step`: a training step of `make train-demo` on our operations, against `implementation="xla"`.

Both are the trainer's own step, in the environment `cssm train` gives itself on CPU. Their losses over the first steps are
compared before anything is timed; calls are interleaved. Prints medians, shortest calls, and samples per second.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing

import jax
import numpy as np
from cssm.train import flags, loop, recipes

import cssm_kernels
from benchmarks.timing import Task, interleave
from examples.train_demo import FLAGS, RUNS, TASKS

CHECKED_STEPS = 3
TOLERANCE = 1e-4  # relative, of a loss


def stepper(task: str, implementation: list[str]) -> tuple[Callable[[], float], int]:
    """(one more step -> its loss, samples of a step)"""
    with tempfile.TemporaryDirectory() as folder:
        own = ["--num_workers", "0", "--no_jit_cache", "--checkpoint_dir", folder, *implementation]
        words = [*FLAGS.split(), *TASKS[task].flags.split(), *RUNS["sCSSM"].split(), "--curriculum", "", *own]
        run = loop.Run(recipes.settle(flags.parser().parse_args(words)), jax.devices()[:1])
        with closing(iter(run.task.training)) as batches:
            batch = jax.device_put(next(batches))
    state = run.state

    def step() -> float:
        nonlocal state
        state, metrics = run.train_step(state, batch)
        return float(jax.block_until_ready((state, metrics))[1]["loss"])

    return step, run.recipe.batch_size


def main() -> int:
    """0, or 1 if the losses differ."""
    cssm_kernels.restart_with_tuned_allocator()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", choices=list(TASKS), default="pathtracker")
    parser.add_argument("--repeats", type=int, default=80, help="timed steps of each")
    args = parser.parse_args()
    ours, samples = stepper(args.task, [])
    plain, _ = stepper(args.task, ["--implementation", "xla"])
    losses = np.array([[step() for _ in range(CHECKED_STEPS)] for step in (ours, plain)])
    worst = float(np.max(np.abs(losses[0] / losses[1] - 1)))
    print(f"losses of the first {CHECKED_STEPS} steps agree to {worst:.1e}")
    if not worst < TOLERANCE:
        return 1
    timings = interleave({"ours": Task(ours, args.repeats, warmup=5), "xla": Task(plain, args.repeats, warmup=5)})
    for name, timing in timings.items():
        print(
            f"{name:5} {1e3 * timing.median:6.1f} ms ({1e3 * timing.best:.1f}), {samples / timing.median:,.0f} samples/s"
        )
    print(
        f"ratio {timings['xla'].median / timings['ours'].median:.2f} ({timings['xla'].best / timings['ours'].best:.2f})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
