"""Tables made of the rows: what the terminal and the page both show."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from benchmarks import published
from benchmarks.mechanism.panels import ASSOCIATIVE, KERNEL_SIZE_OF_PANEL_T, NATIVE, PANELS, SERIES
from benchmarks.mechanism.records import OK, Row

UNASKED = "–"
"""A cell that was not part of the run, as opposed to one that was skipped."""

MEASURES = {"fwd": "forward", "fwd_bwd": "forward + backward"}


@dataclass
class Line:
    """One row of a table; `published` lines are other people's figures."""

    label: str
    cells: list[str]
    published: bool = False


@dataclass
class Table:
    """A table of text cells under a title."""

    title: str
    columns: list[str]
    lines: list[Line] = field(default_factory=list)
    note: str = ""


def number(value: float) -> str:
    """Four significant digits below 1000, none after the point above; empty for NaN."""
    if math.isnan(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}".rstrip(".")


def times(value: float) -> str:
    """A ratio."""
    if math.isnan(value):
        return ""
    return f"{value:.3g}x" if value < 1000 else f"{value:,.0f}x"


@dataclass
class View:
    """The cells of one panel under one allocator setting, in the panel's order of series.

    Attributes:
      cells: rows by series and x, which is T, or N for the panel over widths.
    """

    panel: str
    allocator: str
    cells: dict[tuple[str, int], Row]

    @property
    def series(self) -> list[str]:
        """Series present, sCSSM on our kernel first."""
        present = {key for key, _ in self.cells}
        known = PANELS[self.panel].series
        core = [key for key in known if SERIES[key].core]
        order = (*core, *(key for key in reversed(known) if key not in core))
        return sorted(present, key=lambda key: (order.index(key.partition("@")[0]), len(key), key))

    @property
    def columns(self) -> list[str]:
        """Headings of the columns."""
        return [f"{'N' if self.panel == 'C' else 'T'}={x}" for x in self.xs]

    @property
    def xs(self) -> list[int]:
        """Values of T, ascending."""
        return sorted({x for _, x in self.cells})

    def name(self, series: str) -> str:
        """Display name of a series."""
        return next(row.name for (key, _), row in self.cells.items() if key == series)

    def value(self, series: str, x: int, column: str) -> float:
        """One figure; NaN where there is none."""
        row = self.cells.get((series, x))
        return float(getattr(row, column)) if row is not None else math.nan

    @property
    def comparable(self) -> bool:
        """Whether these cells are of the configuration that was published."""
        return self.panel == "T" and all(
            (row.H, row.embed_dim, row.kernel_size, row.batch, row.depth) == (32, 32, KERNEL_SIZE_OF_PANEL_T, 1, 1)
            and (row.dtype, row.input, row.frame_readout) == ("fp32", "image", "last")
            for row in self.cells.values()
        )


def views(rows: Iterable[Row]) -> list[View]:
    """One view for each panel and allocator setting, in the order of appearance."""
    grouped: dict[tuple[str, str], dict[tuple[str, int], Row]] = {}
    for row in rows:
        series = f"{row.series}@C={row.embed_dim}" if row.panel == "C" else row.series
        x = row.N if row.panel == "C" else row.T_video
        grouped.setdefault((row.panel, row.allocator), {})[series, x] = row
    return [View(panel, allocator, cells) for (panel, allocator), cells in grouped.items() if panel in PANELS]


def time_table(view: View, measure: str, *, device: bool = False) -> Table:
    """Medians in ms; a status where there is no time."""
    column = {"fwd": "fwd_dev_ms", "fwd_bwd": "bwd_dev_ms"}[measure] if device else f"{measure}_ms"
    status = "status_fwd" if measure == "fwd" else "status_bwd"
    kind = "in one compiled loop" if device else "wall"
    note = f"{UNASKED} not part of this run" + ("; blank: the call is long, so not taken" if device else "")
    table = Table(f"{MEASURES[measure]}, ms ({kind}, {view.allocator} malloc)", view.columns, note=note)

    def cell(series: str, x: int) -> str:
        row = view.cells.get((series, x))
        if row is None:
            return UNASKED
        text = number(getattr(row, column))
        return text or ("" if device and getattr(row, status) == OK else getattr(row, status))

    _add(table, view, cell)
    if view.comparable and not device:
        cells = published.panel_t()
        for key in dict.fromkeys(name.partition(":")[0] for name in view.series):
            if (key, view.xs[0]) in cells or any((key, x) in cells for x in view.xs):
                values = [number(getattr(cells[key, x], column)) if (key, x) in cells else "" for x in view.xs]
                table.lines.append(Line(f"{key} ({published.SOURCE})", values, published=True))
    return table


def ratio_table(view: View, measure: str, baseline: str) -> Table:
    """Time of each series over that of an sCSSM series of the same run; published ratios beneath."""
    table = Table(
        f"{MEASURES[measure]}: times slower than {view.name(baseline)} ({view.allocator} malloc)",
        view.columns,
        note="* the two were not measured in the same interleaved group",
    )

    def cell(series: str, x: int) -> str:
        ratio = slowdown(view, series, x, measure, baseline)
        if math.isnan(ratio):
            return ""
        together = view.cells[series, x].measured_at == view.cells[baseline, x].measured_at
        return times(ratio) + ("" if together else "*")

    _add(table, view, cell, skip=baseline)
    if view.comparable:
        ratios = published.panel_t_ratios()
        for key in dict.fromkeys(name.partition(":")[0] for name in view.series):
            if key != "no_gate" and any((key, x, measure) in ratios for x in view.xs):
                values = [times(ratios.get((key, x, measure), math.nan)) for x in view.xs]
                table.lines.append(Line(f"{key} ({published.SOURCE})", values, published=True))
    return table


def slowdown(view: View, series: str, x: int, measure: str, baseline: str) -> float:
    """Median of a series over the baseline's."""
    return view.value(series, x, f"{measure}_ms") / view.value(baseline, x, f"{measure}_ms")


def column_table(view: View, title: str, column: str) -> Table:
    """Any one column, as a number."""
    table = Table(f"{title} ({view.allocator} malloc)", view.columns)
    _add(table, view, lambda series, x: number(view.value(series, x, column)))
    return table


def check_table(checks: list[dict]) -> Table:
    """The agreement checks."""
    table = Table(
        "Agreement checks",
        ["against", "what", "T", "malloc", "outputs", "gradients", "allowed", "result"],
        note="Relative distances. 'documented': the published pair is known not to be the same recurrence; not a pass.",
    )
    for check in checks:
        errors = [_error(check[name]) for name in ("out_rel_err", "grad_rel_err")]
        cells = [check["reference"], check["what"], str(check["T"]), check["allocator"], *errors]
        table.lines.append(Line(check["member"], [*cells, f"{check['tolerance']:.0e}", check["status"]]))
    return table


def _error(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.1e}"


def gap_table(rows: Iterable[Row]) -> Table:
    """Why cells have no time, and remarks on others."""
    table = Table("Cells without a time, and remarks", ["T", "malloc", "fwd", "fwd+bwd", "why"])
    for row in rows:
        if row.note:
            notes = dict(part.split(": ", 1) for part in row.note.split("; ") if ": " in part)
            both = len(notes) == 2 and len(set(notes.values())) == 1
            why = f"both: {notes['fwd']}" if both else row.note
            cells = [str(row.T_video), row.allocator, row.status_fwd, row.status_bwd, why]
            table.lines.append(Line(row.series, cells))
    return table


def baselines(view: View) -> list[str]:
    """sCSSM series that ratios are taken to: ours, and the associative scan that was published."""
    return [key for key in (NATIVE, ASSOCIATIVE) if key in view.series]


def main_tables(view: View) -> list[Table]:
    """Times and ratios of one view."""
    result = [time_table(view, measure) for measure in MEASURES]
    return result + [ratio_table(view, measure, key) for key in baselines(view) for measure in MEASURES]


def further_tables(view: View) -> list[Table]:
    """Device time, memory and compile time of one view."""
    return [
        *(time_table(view, measure, device=True) for measure in MEASURES),
        column_table(view, "Temporary memory of the larger program, MB", "peak_mb"),
        column_table(view, "Trace, lower and compile of both programs, s", "compile_s"),
    ]


def _add(table: Table, view: View, cell: Callable[[str, int], str], skip: str = "") -> None:
    for series in view.series:
        if series != skip:
            table.lines.append(Line(view.name(series), [cell(series, x) for x in view.xs]))
