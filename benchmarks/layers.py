"""`python -m benchmarks.layers`: every mixing layer on our operations against its plain XLA form, forward and backward.

At (B, T, H, W, C) the same parameters and input go through `implementation=None` and "xla"; results and gradients are
compared before anything is timed, and calls are interleaved. Writes a CSV, in which the rows of other keys stay; once every
key has one, docs/layers.md's table between its marks.
"""

from __future__ import annotations

import argparse
import csv
import gc
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from cssm import MIXERS

import cssm_kernels
from benchmarks.documents import write_csv
from benchmarks.timing import Task, interleave

SHAPE = (4, 32, 32, 32, 32)
FIELDS: Mapping[str, Mapping[str, Any]] = {
    "gated": {"gate_type": "factored"},
    "gdn": {"gate_type": "factored", "delta_key_dim": 4},
    "gdn_int": {"gate_type": "factored"},
    "gdn_int_elem": {"gate_type": "factored"},
    "gdn_int_qk": {"gate_type": "factored"},
}
"""Beside kernel_size=11: the published settings, where they are not the defaults."""
WHOLE = {f"{key} frames_at_once=0": key for key in ("gated", "convs5", "deltanet", "gdn")}
"""Rows of their own: the whole video at once, where by default it is a few frames at once."""
ROWS = (*MIXERS, *WHOLE)
WITHOUT_OPERATION = ("realspace_compact_seq",)
"""Keys whose class has the field for other keys' sake."""
TOLERANCE = 2e-4
TOLERANCES = {"add_delta": 5e-2, "mult_transformer": 2e-3}
"""Of gradients that amplify rounding in either form: in float64 the two agree, as the tests have it."""
COLUMNS = (
    "key", "class", "parameters", "streams", "ms", "ms_best", "xla_ms", "ratio", "ratio_best", "temp_mb", "xla_temp_mb",
    "rel_err", "note",
)  # fmt: skip
START, END = "<!-- layers: python -m benchmarks.layers -->", "<!-- /layers -->"
DOCUMENT = Path("docs/layers.md")
SECONDS = 6.0
PATIENCE = 20.0  # seconds: what takes longer is called once


def forward_and_backward(layer: Any) -> Callable[..., Any]:
    """(variables, x, ct) -> (y, its pullback at ct)"""

    def run(variables: Any, x: jax.Array, ct: jax.Array) -> Any:
        y, pull_back = jax.vjp(layer.apply, variables, x)
        return y, pull_back(ct)

    return run


def perturbed(variables: Any) -> Any:
    """Every leaf plus N(0.1): zeros and small initial scales hide nothing."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: leaf + 0.1 * rng.standard_normal(leaf.shape).astype(leaf.dtype), variables)


def worst_difference(got: Any, want: Any) -> float:
    """Largest difference of a leaf, over the largest magnitude in that leaf."""
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(want))
    scale = max(float(np.abs(w).max()) for w in jax.tree.leaves(want))
    return max(float(np.abs(np.asarray(g) - w).max() / max(np.abs(w).max(), 1e-4 * scale)) for g, w in pairs)


def measure(key: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """One row of the table."""
    registered = WHOLE.get(key, key)
    cls = MIXERS[registered]
    fields = {**FIELDS.get(registered, {}), "frames_at_once": 0 if key in WHOLE else None}
    layer = cls(channels=shape[-1], kernel_size=11, **fields)
    rng = np.random.default_rng(1)
    x, ct = (jnp.asarray(rng.standard_normal(shape, np.float32)) for _ in range(2))
    variables = perturbed(jax.jit(layer.init)(jax.random.key(0), x))
    row: dict[str, Any] = dict.fromkeys(COLUMNS, math.nan) | {
        "key": key,
        "class": cls.__name__,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(variables["params"])),
        "streams": not layer.not_streaming,
        "note": "",
    }
    forms = {"ours": layer}
    if hasattr(layer, "implementation") and key not in WITHOUT_OPERATION:
        forms["xla"] = layer.clone(implementation="xla")
    programs = {
        name: jax.jit(forward_and_backward(form)).lower(variables, x, ct).compile() for name, form in forms.items()
    }
    temp = {name: program.memory_analysis().temp_size_in_bytes / 1e6 for name, program in programs.items()}
    row |= {"temp_mb": temp["ours"], "xla_temp_mb": temp.get("xla", math.nan)}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    for name in [name for name in programs if temp[name] > memory / 2]:
        row["note"] += f"{name} needs {temp[name] / 1e3:.0f} GB: not run"
        del programs[name]
    if "ours" not in programs:
        return row
    took, results = {}, {}
    for name, program in programs.items():
        start = time.perf_counter()
        results[name] = jax.block_until_ready(program(variables, x, ct))
        took[name] = time.perf_counter() - start
    if "xla" in results:
        row["rel_err"] = worst_difference(results["ours"], results["xla"])
    elif len(forms) == 1:
        row["note"] = "no operation of ours"
    results.clear()
    if shape != SHAPE:
        row["note"] = ", ".join(filter(None, (row["note"], "at " + " x ".join(map(str, shape)))))
    if row["rel_err"] > TOLERANCES.get(key, TOLERANCE):
        return row | {"note": f"off by {row['rel_err']:.0e}: not timed"}
    if took.get("xla", 0) > PATIENCE:
        row["note"] = ", ".join(filter(None, (row["note"], f"XLA: one call of {took['xla']:.0f} s")))
        del programs["xla"]
    repeats = max(1, min(25, int(SECONDS / sum(took[name] for name in programs))))
    tasks = {
        name: Task(lambda program=program: jax.block_until_ready(program(variables, x, ct)), repeats, settle=True)  # type: ignore[misc]
        for name, program in programs.items()
    }
    timings = interleave(tasks)
    ours = timings["ours"]
    row |= {"ms": ours.median * 1e3, "ms_best": ours.best * 1e3}
    if "XLA: one call" in row["note"]:
        row |= {"xla_ms": took["xla"] * 1e3, "ratio": took["xla"] / ours.median, "ratio_best": took["xla"] / ours.best}
    elif "xla" in timings:
        xla = timings["xla"]
        row |= {"xla_ms": xla.median * 1e3, "ratio": xla.median / ours.median, "ratio_best": xla.best / ours.best}
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    heading = (
        "key",
        "class",
        "parameters",
        "frame by frame",
        "ms",
        "XLA / ours (shortest calls)",
        "temp MB, ours / XLA",
    )
    lines = ["| " + " | ".join(heading) + " |", "|---|---|---:|---|---:|---:|---:|"]
    for row in rows:
        ratio = f"{row['ratio']:.1f} ({row['ratio_best']:.1f})" if math.isfinite(row["ratio"]) else ""
        ratio = ", ".join(filter(None, (ratio, row["note"])))
        temp = f"{row['temp_mb']:.3g}" + (f" / {row['xla_temp_mb']:.3g}" if math.isfinite(row["xla_temp_mb"]) else "")
        ms = f"{row['ms']:.0f}" if math.isfinite(row["ms"]) else ""
        cells = (
            f"`{row['key']}`",
            row["class"],
            f"{row['parameters']:,.0f}",
            "yes" if row["streams"] else "no",
            ms,
            ratio,
            temp,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def read_rows(path: Path) -> dict[str, dict[str, Any]]:
    """Of an earlier run, by key; none where there is no file."""
    if not path.exists():
        return {}
    text = ("key", "class", "note")
    with path.open(newline="") as file:
        rows = [
            {name: value if name in text else _number(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        ]
    return {row["key"]: row for row in rows}


def _number(value: str) -> Any:
    if value in ("True", "False"):
        return value == "True"
    return float(value) if value else math.nan


def main(argv: list[str] | None = None) -> int:
    """Entry point: 1 if a layer disagrees with its XLA form."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layers", description=__doc__)
    parser.add_argument("--only", default="", metavar="KEYS", help="keys, or rows of the table, by commas (all)")
    parser.add_argument("--shape", default=",".join(map(str, SHAPE)), metavar="B,T,H,W,C")
    parser.add_argument("--out", type=Path, default=Path("results/layers.csv"))
    parser.add_argument("--no-document", action="store_true", help="leave docs/layers.md as it is")
    arguments = parser.parse_args(argv)
    shape = tuple(map(int, arguments.shape.split(",")))
    keys = arguments.only.split(",") if arguments.only else list(ROWS)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    rows = read_rows(arguments.out)
    for key in keys:
        rows[key] = measure(key, shape)
        write_csv(arguments.out, COLUMNS, [rows[key] for key in ROWS if key in rows])
        print(table([rows[key]]).splitlines()[-1], flush=True)
        jax.clear_caches()
        gc.collect()
    if rows.keys() >= set(ROWS) and not arguments.no_document:
        text = DOCUMENT.read_text()
        before, after = text.split(START)[0], text.split(END)[1]
        DOCUMENT.write_text(f"{before}{START}\n{table([rows[key] for key in ROWS])}\n{END}{after}")
    return int(any("off by" in rows[key]["note"] for key in keys))


if __name__ == "__main__":
    cssm_kernels.restart_with_tuned_allocator()
    sys.exit(main())
