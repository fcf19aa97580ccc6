"""`python -m benchmarks.full_steps`: training steps of published configurations, run here, and compiled for H100 and B200.

Here the batch is cut to what the machine holds; for the GPUs, which are not here, XLA compiles the published one and says
how much memory it takes. Writes a CSV, whose rows are kept by the next run, and the table of docs/training.md.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax

from benchmarks.documents import write_csv
from benchmarks.full_steps import on_cpu, on_gpu, table
from benchmarks.full_steps.published import PUBLISHED
from benchmarks.full_steps.steps import Published

DOCUMENT = Path("docs/training.md")


def measured(published: Published, devices: list[str]) -> Iterator[dict[str, Any]]:
    """A row for each device."""
    of = {"name": published.name, "grid": published.sweep, "run": published.run, "note": ""}
    step = published.step()
    if table.CPU in devices:
        yield of | {"device": table.CPU} | on_cpu.run(step)
    for gpu in table.GPUS:
        if gpu.name in devices:
            yield of | {"device": gpu.name} | on_gpu.compiled(step, published.batch, gpu)
    jax.clear_caches()
    gc.collect()


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full_steps", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="configurations whose name has it")
    parser.add_argument("--again", action="store_true", help="measure what has a row already")
    parser.add_argument("--out", type=Path, default=Path("results/full_steps.csv"))
    parser.add_argument("--no-document", action="store_true", help=f"leave {DOCUMENT} as it is")
    arguments = parser.parse_args(argv)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    rows = table.read(arguments.out)
    for published in PUBLISHED:
        if arguments.only not in published.name:
            continue
        missing = [d for d in table.DEVICES if arguments.again or (published.name, d) not in rows]
        for row in measured(published, missing) if missing else ():
            rows[published.name, row["device"]] = row
            write_csv(arguments.out, table.COLUMNS, list(rows.values()))
            print(", ".join(f"{name} {value}" for name, value in row.items() if value != ""), flush=True)
    print(table.markdown(rows))
    if not arguments.no_document:
        text = DOCUMENT.read_text()
        before, after = text.split(table.START)[0], text.split(table.END)[1]
        DOCUMENT.write_text(f"{before}{table.START}\n{table.markdown(rows)}\n{table.END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
