"""`make train-demo`: a model with memory learns what the same model without it cannot.

Trains sCSSM on PathTracker-mini (stopping it half way on purpose, and going on), then two controls for the same steps under
the same curriculum: `no_fft`, which has no spatial kernel, and T = 1, which sees the last frame alone. Distances of the
markers are matched, so that one frame says nothing. Draws the curves, and fails if sCSSM does not reach what it should on
held-out samples or a control is at 60 % or above. `--task pathfinder` does the same with Pathfinder-mini.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from cssm.train.loop import INTERRUPTED
from cssm.train.records import LOG, read_records

FLAGS = (
    "--embed_dim 32 --kernel_size 11 --kernel_std 0.1 --pos_embed none --norm_type global_layer --act_type gelu "
    "--pool_type max --batch_size 64 --lr 3e-3 --warmup_steps 100 --steps_per_epoch 250 --log_every 50 "
    "--early_stopping_patience 0"
)


class Task(NamedTuple):
    """What is learned: a title, flags of its own, steps, and the least accuracy of sCSSM."""

    title: str
    flags: str
    steps: int
    learned: float


TASKS = {
    "pathtracker": Task(
        "PathTracker-mini, 2 distractors",
        "--dataset pathtracker_mini --stem_mode pathtracker --curriculum 0:0,1200:1,1500:2",
        6000,
        0.85,
    ),
    "pathfinder": Task("Pathfinder-mini", "--dataset pathfinder_mini --stem_mode default --stem_layers 1", 3000, 0.80),
}
RUNS = {
    "sCSSM": "--cssm no_gate",
    "no FFT": "--cssm no_fft --short_conv_spatial_size 0",
    "T = 1": "--cssm no_gate --seq_len 1",
}
CHANCE = 0.60


def train(name: str, flags: str, arguments: argparse.Namespace, stop_half_way: bool) -> float:
    """Seconds that a run took, with a stop in the middle if asked for."""
    directory = arguments.out / run_name(name, arguments.seed)
    task = TASKS[arguments.task]
    command = [sys.executable, "-m", "cssm", "train", *FLAGS.split(), *task.flags.split(), *flags.split()]
    command += ["--steps", str(arguments.steps), "--seed", str(arguments.seed)]
    command += ["--checkpoint_dir", str(arguments.out), "--run_name", directory.name]
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    while stop_half_way and process.poll() is None:
        time.sleep(0.2)
        if any(record["step"] >= arguments.steps // 2 for record in read_records(directory / LOG)):
            process.send_signal(signal.SIGTERM)
            if process.wait() == INTERRUPTED:
                process = subprocess.Popen(command)
            stop_half_way = False
    if process.wait():
        raise SystemExit(f"{name}: exit code {process.returncode}")
    return time.perf_counter() - begin


def run_name(name: str, seed: int) -> str:
    """A directory's."""
    return f"{name.replace(' ', '').replace('=', '')}_seed{seed}"


def curve(directory: Path) -> tuple[list[int], list[float]]:
    """(steps, accuracy on held-out samples)"""
    records = [record for record in read_records(directory / LOG) if "val/acc" in record]
    return [record["step"] for record in records], [record["val/acc"] for record in records]


def draw(curves: dict[str, tuple[list[int], list[float]]], title: str, path: Path) -> None:
    """The curves of all runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, (steps, accuracies) in curves.items():
        axes.plot(steps, accuracies, label=f"{name}: {accuracies[-1]:.3f}")
    axes.axhline(0.5, color="grey", ls=":")
    axes.set(xlabel="step", ylabel="accuracy, held-out samples", ylim=(0.45, 1), title=title)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> int:
    """0 if all came out as it should."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--task", choices=list(TASKS), default="pathtracker")
    parser.add_argument("--steps", type=int, help="instead of the task's")
    parser.add_argument("--only", choices=list(RUNS), help="one of the runs")
    parser.add_argument("--out", type=Path, help="directory (results/train_demo/TASK)")
    arguments = parser.parse_args()
    task = TASKS[arguments.task]
    arguments.steps = arguments.steps or task.steps
    arguments.out = arguments.out or Path("results/train_demo") / arguments.task
    summary: dict[str, Any] = {}
    curves = {}
    for name, flags in RUNS.items():
        if arguments.only not in (None, name):
            continue
        seconds = train(name, flags, arguments, stop_half_way=name == "sCSSM")
        curves[name] = curve(arguments.out / run_name(name, arguments.seed))
        accuracy = curves[name][1][-1]
        right = accuracy >= task.learned if name == "sCSSM" else accuracy < CHANCE
        summary[name] = {"accuracy": accuracy, "minutes": seconds / 60, "as_expected": right}
        print(f"{name}: {accuracy:.3f} after {seconds / 60:.1f} minutes", flush=True)
    (arguments.out / f"summary_seed{arguments.seed}.json").write_text(json.dumps(summary, indent=1))
    draw(curves, task.title, arguments.out / f"curves_seed{arguments.seed}.png")
    return int(not all(run["as_expected"] for run in summary.values()))


if __name__ == "__main__":
    sys.exit(main())
