"""One self-contained HTML page of a run."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

from benchmarks import published
from benchmarks.mechanism import figure
from benchmarks.mechanism.panels import PANELS
from benchmarks.mechanism.records import Row
from benchmarks.mechanism.tables import (
    Table,
    View,
    baselines,
    check_table,
    further_tables,
    gap_table,
    main_tables,
    views,
)

_CSS = Path(__file__).with_suffix(".css").read_text()

METHOD = (
    "All series of one T are timed interleaved, turn by turn, so that noise hits all alike. A cell is the median "
    "over the retries of the median of their calls; the ribbon is the smallest and largest of those medians. "
    "Calls under 20 ms run once untimed at the start of their turn. A wall time is one call of a compiled program"
    " and the wait for its result, host dispatch included.",
    "Device time: n calls in one compiled loop, divided by n. Each pass depends on the one before through a "
    "factor that is zero at run time and unknown to the compiler, so no pass can be hoisted, merged or dropped. "
    "Taken of calls shorter than loop_below (see the options); of longer calls dispatch is a negligible part.",
    "Forward + backward is the gradient of mean(y^2) with respect to the parameters, without an optimiser.",
    "Before anything is timed the layers are compared on random frames with randomised parameters (outputs, "
    "gradients of parameters and of the input), and at every T the very programs that are timed are compared on a"
    " noise image. A series that disagrees has the status 'mismatch' and no time.",
    "Memory is the temporary memory of XLA's analysis of the program, not its inputs and outputs; what a custom "
    "call allocates for itself is not in it. Compile time is trace, lower and compile of the two programs; the "
    "second allocator setting reuses the programs of the first and has none.",
    "tuned malloc: MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=17179869184, set before the process "
    "starts. It acts on glibc's main arena only: what XLA allocates on its pool threads above 64 MB still comes in "
    "fresh pages, so this setting may favour one contender over another. one_arena adds MALLOC_ARENA_MAX=1 and "
    "treats all alike.",
    "A published figure is marked as such and set in italics. It was taken on other hardware by others: compare "
    "the shape of the curves and the ratios, not the milliseconds. The published sCSSM is an associative scan; "
    "compare its ratios with those to our associative_scan series.",
    "The published real-space pair is not equivalent to sCSSM: it filters the input too, bounds the kernel "
    "otherwise, and convolves with an image-sized kernel. Its parallel form is not associative (equal to the "
    "sequential for two frames). The two 'real space' series of ours are the fair baselines.",
)


def render(rows: list[Row], state: dict[str, Any]) -> str:
    """The page as text."""
    shown = views(rows)
    body = [f"<h1>{_title(shown)}</h1>", f'<p class="lead">{_lead(rows, state)}</p>']
    for view in shown:
        body.append(f"<h2>Panel {view.panel}, {view.allocator} malloc</h2>")
        body.append(_picture(view, figure.times, "step time over video length"))
        if baselines(view):
            body.append(_picture(view, figure.slowdowns, "slow-down relative to sCSSM"))
        body += [_table(table) for table in main_tables(view)]
        further = "".join(_table(table) for table in further_tables(view))
        body.append(f"<details><summary>Device time, memory, compile time</summary>{further}</details>")
    body += ["<h2>Checks</h2>", _table(check_table(state.get("checks", []))), "<h2>Gaps</h2>", _table(gap_table(rows))]
    body += ["<h2>Method</h2><ul>", *(f"<li>{html.escape(note)}</li>" for note in METHOD), "</ul>"]
    for name in ("environment", "options"):
        body += [f"<h2>{name.capitalize()}</h2>", _facts(state.get(name, {}))]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{_title(shown)}</title><style>{_CSS}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def write(path: Path, rows: list[Row], state: dict[str, Any]) -> None:
    """Write the page."""
    path.write_text(render(rows, state))


def _title(shown: list[View]) -> str:
    return " / ".join(dict.fromkeys(PANELS[view.panel].title for view in shown)) or "Mechanism Validation"


def _lead(rows: list[Row], state: dict[str, Any]) -> str:
    if not rows:
        return "No cells."
    row, place = rows[0], state.get("environment", {})
    facts = [row.device, f"{place['cores']} cores" if "cores" in place else "", f"jax {row.jax}", place.get("date", "")]
    text = " · ".join(fact for fact in facts if fact)
    return html.escape(
        f"{text} · input: {row.input} · readout: {row.frame_readout}. Reference figures: {published.SOURCE}."
    )


def _picture(view: View, draw: Any, description: str) -> str:
    drawn = figure.svg(draw(view))
    light, dark = (
        "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()
        for text in (drawn, figure.darkened(drawn))
    )
    return (
        f'<p><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img alt="{html.escape(description)}" src="{light}"></picture></p>'
    )


def _table(table: Table) -> str:
    if not table.lines:
        return ""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in ("", *table.columns))
    lines = []
    for line in table.lines:
        cells = "".join(_cell(column, text) for column, text in zip(table.columns, line.cells, strict=True))
        kind = ' class="published"' if line.published else ""
        lines.append(f"<tr{kind}><td>{html.escape(line.label)}</td>{cells}</tr>")
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll"><table><caption>{html.escape(table.title)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>{note}</div>"
    )


def _cell(column: str, text: str) -> str:
    kind = (
        ' class="text"'
        if column in ("why", "what")
        else ' class="bad"'
        if text in ("fail", "mismatch", "error")
        else ""
    )
    return f"<td{kind}>{html.escape(text)}</td>"


def _facts(values: dict[str, Any]) -> str:
    items = "".join(f"<dt>{html.escape(str(k))}</dt><dd>{html.escape(str(v))}</dd>" for k, v in values.items())
    return f"<dl>{items}</dl>"
