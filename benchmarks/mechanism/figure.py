"""The figures: time over T on logarithmic axes, and slow-down relative to sCSSM. matplotlib only."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks import published
from benchmarks.mechanism.panels import ASSOCIATIVE, PANELS
from benchmarks.mechanism.records import OK, OOM
from benchmarks.mechanism.tables import MEASURES, View, slowdown

_STYLE = MappingProxyType(
    {
        "no_gate:native": ("#4FC3F7", "-"),
        "no_gate:unfused": ("#4FC3F7", "-."),
        "no_gate:xla": ("#4FC3F7", "--"),
        "no_gate:sequential": ("#4FC3F7", ":"),
        "gated:native": ("#00BCD4", "-"),
        "gdn:native": ("#1E5AA8", "-"),
        "convs5:native": ("#2E7D32", "-"),
        "s4nd_full:native": ("#A5D6A7", "-"),
        "spatial_attn:xla": ("#D32F2F", "-"),
        "mamba2_seq:native": ("#9C6ADE", "-"),
        "gdn_seq:native": ("#5E35B1", "-"),
        "realspace_exact_seq:xla": ("#2E9E5B", "-"),
        "realspace_compact_seq:xla": ("#7CB342", "-"),
        "direct_conv_assoc:xla": ("theory 0", "-"),
        "direct_conv_parallel:xla": ("theory 0", ":"),
        "direct_conv_seq:sequential": ("theory 1", "-"),
        "no_gate_realspace_seq:xla": ("theory 2", "-"),
        "no_gate_realspace_par:xla": ("theory 3", "-"),
    }
)
"""Colour and line of each series. The theory baselines run from light grey to the colour of the ink."""

_INK = MappingProxyType({"light": ("#111111", "#ffffff"), "dark": ("#eeeeee", "#16181d")})
_THEORY = MappingProxyType(
    {"light": ("#bdbdbd", "#8a8a8a", "#555555", "#000000"), "dark": ("#5c5c5c", "#8a8a8a", "#bdbdbd", "#ffffff")}
)


def colour(series: str) -> tuple[str, str]:
    """Colour and line style of a series."""
    value, line = _STYLE[series.partition("@")[0]]
    return (_THEORY["light"][int(value[-1])] if value.startswith("theory") else value), line


def times(view: View) -> plt.Figure:
    """Step time over T, forward + backward and forward, with the range of the retries."""
    with plt.rc_context(_rc()):
        figure, axes = plt.subplots(1, 2, figsize=(15, 6.2), sharey=True, layout="constrained")
        for axis, measure in zip(axes, ("fwd_bwd", "fwd"), strict=True):
            for series in view.series:
                _line(axis, view, series, measure)
            _guides(axis, view, measure)
            _dress(axis, view, f"{MEASURES[measure]}")
        axes[0].set_ylabel("Step time (ms)")
        _legend(axes[1])
        _limit(axes[0], view)
        figure.suptitle(f"{PANELS[view.panel].title}: {_where(view)}")
        return figure


def slowdowns(view: View) -> plt.Figure:
    """Times slower than sCSSM on the associative scan; where comparable with the published curves, dotted."""
    with plt.rc_context(_rc()):
        figure, axes = plt.subplots(1, 2, figsize=(15, 6.2), sharey=True, layout="constrained")
        ratios = published.panel_t_ratios() if view.comparable else {}
        for axis, measure in zip(axes, ("fwd_bwd", "fwd"), strict=True):
            for series in view.series:
                tint, line = colour(series)
                points = [(x, slowdown(view, series, x, measure, ASSOCIATIVE)) for x in view.xs]
                points = [point for point in points if math.isfinite(point[1])]
                if points and series != ASSOCIATIVE:
                    axis.plot(*zip(*points, strict=True), line, color=tint, marker="o", lw=2.2, label=view.name(series))
                key = series.partition(":")[0]
                known = [
                    (x, ratios[key, x, measure]) for x in view.xs if key != "no_gate" and (key, x, measure) in ratios
                ]
                if known:
                    axis.plot(*zip(*known, strict=True), "x:", color=tint, lw=1.2, label=f"{key} ({published.SOURCE})")
            axis.axhline(1.0, color="#888888", lw=1)
            _dress(axis, view, MEASURES[measure])
        axes[0].set_ylabel("times slower than sCSSM on associative_scan")
        _legend(axes[1])
        figure.suptitle(f"Slow-down relative to sCSSM of the same machine: {_where(view)}")
        return figure


def save(figure: plt.Figure, path: Path) -> None:
    """Write a PNG at 200 dpi, or a PDF at 600."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=600 if path.suffix == ".pdf" else 200)
    plt.close(figure)


def darkened(svg_text: str) -> str:
    """The same SVG on dark paper."""
    light = (*_INK["light"], *_THEORY["light"])
    dark = dict(zip(light, (*_INK["dark"], *_THEORY["dark"]), strict=True))
    return re.sub("|".join(light), lambda found: dark[found[0]], svg_text)


def svg(figure: plt.Figure) -> str:
    """The figure as SVG text, on light paper."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return buffer.getvalue()


def _where(view: View) -> str:
    row = next(iter(view.cells.values()))
    return f"{row.device}, H=W={row.H}, C={row.embed_dim}, batch {row.batch}, {view.allocator} malloc"


def _rc() -> Any:
    ink, paper = _INK["light"]
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    return {
        **dict.fromkeys(names, ink),
        "figure.facecolor": paper,
        "axes.facecolor": paper,
        "font.size": 12,
        "svg.hashsalt": "cssm",
    }


def _line(axis: plt.Axes, view: View, series: str, measure: str) -> None:
    tint, line = colour(series)
    xs = [x for x in view.xs if math.isfinite(view.value(series, x, f"{measure}_ms"))]
    if not xs:
        return
    middle, low, high = ([view.value(series, x, f"{measure}_ms{end}") for x in xs] for end in ("", "_min", "_max"))
    ours = series == "no_gate:native"
    axis.plot(
        xs, middle, line, color=tint, marker="o", lw=4 if ours else 2.2, ms=7 if ours else 5, label=view.name(series)
    )
    axis.fill_between(xs, low, high, color=tint, alpha=0.18, lw=0)
    status = "status_fwd" if measure == "fwd" else "status_bwd"
    if any(getattr(view.cells[series, x], status) == OOM for x in view.xs if (series, x) in view.cells and x > xs[-1]):
        axis.plot(xs[-1], middle[-1], "o", mfc="none", mec=tint, ms=16, mew=2)
        axis.plot(xs[-1], middle[-1], "x", color=tint, ms=9, mew=2)


def _guides(axis: plt.Axes, view: View, measure: str) -> None:
    values = [
        row for row in view.cells.values() if getattr(row, f"status_{'fwd' if measure == 'fwd' else 'bwd'}") == OK
    ]
    if not values or view.xs[0] < 2:
        return
    start = min(getattr(row, f"{measure}_ms") for row in values)
    first = view.xs[0]
    axis.plot(view.xs, [start * x / first for x in view.xs], "--", color="#888888", lw=1.2, label="O(T)")
    log = [start * math.log2(x) / math.log2(first) for x in view.xs]
    axis.plot(view.xs, log, ":", color="#888888", lw=1.2, label="O(log T)")


def _dress(axis: plt.Axes, view: View, title: str) -> None:
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(view.xs, [str(x) for x in view.xs])
    axis.set_xlim(view.xs[0] / 1.5, view.xs[-1] * 1.5)
    axis.set_xlabel("N (pixels)" if view.panel == "C" else "Video length (T frames)")
    axis.set_title(title)
    axis.grid(alpha=0.2)
    axis.spines[["top", "right"]].set_visible(False)


def _legend(axis: plt.Axes) -> None:
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)


def _limit(axis: plt.Axes, view: View) -> None:
    columns = ("fwd_ms", "fwd_bwd_ms")
    values = [getattr(row, column) for row in view.cells.values() for column in columns]
    values = [value for value in values if math.isfinite(value)]
    if values:
        axis.set_ylim(min(values) / 2, max(values) * 2)
