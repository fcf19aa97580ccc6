"""Pictures of a sweep: accuracy against parameters, and against the number of frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from cssm.sweep.results import Result

FRAMES = ("seq_len", "num_timesteps")  # the flags of T


def curves(results: Sequence[Result]) -> dict[str, list[tuple[int, float]]]:
    """(T, accuracy) of runs whose arguments differ in T alone, in the order of T, by the name of their first run.

    A run that differs from every other is on no curve.
    """
    groups: dict[tuple, list[tuple[int, float, str]]] = defaultdict(list)
    for result in results:
        frames = next((result.args[flag] for flag in FRAMES if flag in result.args), None)
        if isinstance(frames, int) and result.best_val_acc is not None:
            others = tuple(sorted((flag, value) for flag, value in result.args.items() if flag not in FRAMES))
            groups[others].append((frames, result.best_val_acc, result.name))
    return {
        min(group)[2]: [(frames, accuracy) for frames, accuracy, _ in sorted(group)]
        for group in groups.values()
        if len(group) > 1
    }


def draw(results: Sequence[Result], folder: Path) -> list[Path]:
    """Draws what the results have numbers for, as PNG files in `folder`: their paths."""
    from matplotlib.figure import Figure

    drawn = []
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for result in results:
        if result.parameters is not None and result.best_val_acc is not None:
            points[_layer(result)].append((result.parameters, result.best_val_acc))
    if points:
        figure = Figure(figsize=(7, 5), layout="constrained")
        axes = figure.subplots()
        for layer in sorted(points):
            axes.plot(*zip(*points[layer]), "o", label=layer)
        axes.set(xlabel="parameters", ylabel="best validation accuracy", xscale="log")
        axes.legend(fontsize="small")
        drawn.append(folder / "accuracy_parameters.png")
        figure.savefig(drawn[-1], dpi=150)
    if lines := curves(results):
        figure = Figure(figsize=(7, 5), layout="constrained")
        axes = figure.subplots()
        for label, line in lines.items():
            axes.plot(*zip(*line), "o-", label=label)
        axes.set(xlabel="frames T", ylabel="best validation accuracy")
        axes.legend(fontsize="small")
        drawn.append(folder / "accuracy_frames.png")
        figure.savefig(drawn[-1], dpi=150)
    return drawn


def _layer(result: Result) -> str:
    """What the points of one colour share: the mixing layer, or the model where there is none."""
    return str(next((result.args[flag] for flag in ("cssm", "cssm_type", "model") if flag in result.args), "run"))
