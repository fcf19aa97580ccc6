"""Tables and figures of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.mechanism.records import OK
from benchmarks.mechanism.tables import MEASURES, Line, Table, number, times
from benchmarks.speed.fits import Fit
from benchmarks.speed.measure import Configuration, Row

AXES = {"T": "frames T", "C": "channels C", "H": "image side H"}


def tables(rows: Sequence[Row], curves: Sequence[Fit]) -> list[Table]:
    """One of each configuration of each family, and one of the fits."""
    return [*(_table(group) for group in _grouped(rows, "family", "T", "C", "H")), _fit_table(curves)]


def save_figures(folder: Path, rows: Sequence[Row], curves: Sequence[Fit]) -> list[Path]:
    """A PNG of each configuration where anything was timed, and one of each sweep over T, C or H."""
    timed = {(row.family, *row.configuration) for row in rows if row.status == OK}
    rows = [row for row in rows if (row.family, *row.configuration) in timed]
    drawn = [
        (f"speed_{slug(group[0].family)}_T{group[0].T}_C{group[0].C}_H{group[0].H}", _bars(group))
        for group in _grouped(rows, "family", "T", "C", "H")
    ]
    for axis in AXES:
        others = [name for name in AXES if name != axis]
        for group in _grouped(rows, "family", *others):
            if len({getattr(row, axis) for row in group}) > 1:
                fixed = "_".join(f"{name}{getattr(group[0], name)}" for name in others)
                drawn.append((f"sweep_{axis}_{slug(group[0].family)}_{fixed}", _sweep(group, axis, curves)))
    for name, figure in drawn:
        figure.savefig(folder / f"{name}.png", dpi=150)
    return [folder / f"{name}.png" for name, _ in drawn]


def _table(rows: list[Row]) -> Table:
    columns = [
        "bytes",
        "median ms",
        "mean",
        "std",
        "min",
        "of ours",
        "calls",
        "compile s",
        "temp MB",
        "ops",
        "error",
        "why",
    ]
    result = Table(_title(rows), columns, note="ops: of the jaxpr, transcendental ones after the stroke")
    for row in rows:
        cells = [row.status, *[""] * 5]
        if row.status == OK:
            spread = (row.median_ms, row.mean_ms, row.std_ms, row.min_ms)
            cells = [*map(number, spread), times(row.times_ours), str(row.calls)]
        rest = [number(row.compile_s), number(row.temp_mb), f"{row.ops}/{row.transcendental_ops}", f"{row.rel_err:.0e}"]
        rest = ["" if cell in ("nan", "0/0") else cell for cell in rest]
        result.lines.append(
            Line(f"{row.mode}, {MEASURES[row.measure]}", [str(row.bytes_per_number), *cells, *rest, row.note])
        )
    return result


def _fit_table(curves: Sequence[Fit]) -> Table:
    columns = ["C", "H", "ms, a + b T", "error", "ms, a + b log2 T", "error", "nearer"]
    result = Table("fitted curves", columns, note="error: root mean square, relative")
    for fit in curves:
        (a, b), (c, d) = fit.linear, fit.logarithmic
        cells = [
            str(fit.C), str(fit.H), f"{a:.3g} + {b:.3g} T", f"{fit.linear_error:.0%}",
            f"{c:.3g} + {d:.3g} log2 T", f"{fit.logarithmic_error:.0%}", fit.better,
        ]  # fmt: skip
        result.lines.append(Line(f"{fit.family}: {fit.mode}, {MEASURES[fit.measure]}", cells))
    return result


def _bars(rows: list[Row]) -> Figure:
    """Medians of one configuration."""
    modes = list(dict.fromkeys(row.mode for row in rows))
    measures = list(dict.fromkeys(row.measure for row in rows))
    figure = Figure(figsize=(10, 1.2 + 0.5 * len(modes)), layout="constrained")
    axis = figure.subplots()
    height = 0.8 / len(measures)
    for offset, measure in enumerate(measures):
        for row in rows:
            if row.measure == measure:
                y = modes.index(row.mode) + offset * height
                if row.status == OK:
                    axis.barh(y, row.median_ms, height, xerr=row.std_ms, color=f"C{offset}")
                    axis.annotate(f" {number(row.median_ms)}", (row.median_ms, y), va="center", fontsize=8)
                else:
                    axis.annotate(f" {row.status}", (0, y), xycoords=("axes fraction", "data"), va="center", fontsize=8)
        axis.barh(0, 0, label=MEASURES[measure], color=f"C{offset}")
    axis.set_yticks([place + 0.4 - height / 2 for place in range(len(modes))], modes)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlabel("ms")
    axis.set_title(_title(rows))
    axis.legend()
    return figure


def _sweep(rows: list[Row], name: str, curves: Sequence[Fit]) -> Figure:
    """Medians over T, with the nearer of the fitted curves, or over C or H."""
    measures = list(dict.fromkeys(row.measure for row in rows))
    figure = Figure(figsize=(7 * len(measures), 5), layout="constrained")
    for axis, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        for colour, mode in enumerate(dict.fromkeys(row.mode for row in rows)):
            found = [row for row in rows if (row.mode, row.measure, row.status) == (mode, measure, OK)]
            points = sorted((getattr(row, name), row.median_ms) for row in found)
            if not points:
                continue
            fit = next((fit for fit in curves if name == "T" and _of(fit) == _of(found[0])), None)
            label = mode if fit is None else f"{mode} ({fit.better})"
            axis.plot(*zip(*points, strict=True), "o" if fit else "o-", color=f"C{colour}", label=label)
            if fit is not None:
                axis.plot([x for x, _ in points], [fit.at(x) for x, _ in points], color=f"C{colour}")
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel(AXES[name])
        axis.set_ylabel("ms")
        axis.set_title(MEASURES[measure])
        if axis.lines:
            axis.legend(fontsize=8)
    figure.suptitle(f"{rows[0].family}, batch {rows[0].batch}: {rows[0].device}")
    return figure


def _of(one: Row | Fit) -> tuple:
    return one.family, one.mode, one.measure, one.C, one.H


def _grouped(rows: Sequence[Row], *names: str) -> Iterator[list[Row]]:
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(getattr(row, name) for name in names), []).append(row)
    yield from groups.values()


def _title(rows: list[Row]) -> str:
    row = rows[0]
    shape = " x ".join(map(str, Configuration(row.T, row.C, row.H).shape(row.batch)))
    return f"{row.family}: (B, T, C, H, W_f) = {shape}, ms"


def slug(text: str) -> str:
    """A family's name in a file's."""
    return text.replace(", ", "_")
