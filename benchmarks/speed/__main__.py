"""`python -m benchmarks.speed`: parallel against sequential scans on complex logarithms, and ours.

Medians of jitted calls, interleaved in random order, each after an untimed one. Results are held to double precision first.
Memory is that of XLA's analysis.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import time
from pathlib import Path

from benchmarks import environment
from benchmarks.documents import write_csv, write_json
from benchmarks.mechanism.budget import Budget
from benchmarks.mechanism.options import integers
from benchmarks.mechanism.records import ERROR, MISMATCH, OK
from benchmarks.mechanism.tables import number
from benchmarks.mechanism.terminal import show
from benchmarks.speed import families, report
from benchmarks.speed.families import Family
from benchmarks.speed.fits import fits
from benchmarks.speed.measure import Configuration, Plan, Row, Run

SMOKE = {"seq_lens": (1, 2, 3), "batch_size": 1, "embed_dims": (2,), "image_sizes": (4,), "warmup": 0, "trials": 2}
"""For CI."""


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    what = result.add_argument_group("what is measured")
    what.add_argument("--seq_lens", type=integers, default=(8, 16, 32, 64), help="T (8,16,32,64)")
    what.add_argument("--batch_size", type=int, default=4)
    what.add_argument("--embed_dims", type=integers, default=(32,), help="C (32)")
    what.add_argument("--image_sizes", type=integers, default=(32,), help="H, of H x (H // 2 + 1) frequencies (32)")
    what.add_argument("--no_backward", action="store_true", help="forward only")
    what.add_argument("--scalar", action="store_true", help="also scans of numbers")
    what.add_argument(
        "--phase_split", action="store_true", help="also pairs (log-magnitude, phase), 4 and 2 bytes a number"
    )
    what.add_argument("--split_goom", action="store_true", help="also real numbers as pairs (log-magnitude, sign)")
    what.add_argument(
        "--dtype_compare", action="store_true", help="also float32 against complex64, on positive numbers"
    )
    what.add_argument("--smoke", action="store_true", help="everything, tiny, in seconds")
    how = result.add_argument_group("how long, and where to")
    how.add_argument("--warmup", type=int, default=3, help="untimed calls of each program (3)")
    how.add_argument("--trials", type=int, default=10, help="timed calls of each program (10)")
    how.add_argument(
        "--cell_budget", type=float, default=300.0, metavar="S", help="skip a program expected to need longer (300)"
    )
    how.add_argument("--budget", type=float, default=3600.0, metavar="S", help="for the whole run (3600)")
    how.add_argument(
        "--memory", type=float, metavar="GB", help="skip a program that needs more (half of the machine's)"
    )
    how.add_argument("--profile", action="store_true", help="also a trace of jax's profiler, of each configuration")
    how.add_argument("--output_dir", type=Path, default=Path("results/speed"))
    return result


def chosen(arguments: argparse.Namespace) -> list[Family]:
    """The families of a command line."""
    matrix = families.MATRIX
    if arguments.phase_split or arguments.smoke:
        matrix = dataclasses.replace(matrix, modes=(*matrix.modes, *families.PHASE_SPLIT))
    return [
        matrix,
        *(family for flag, family in families.EXTRAS.items() if getattr(arguments, flag) or arguments.smoke),
    ]


def main(argv: list[str] | None = None) -> int:
    """Entry point: 1 if any result was wrong or failed."""
    arguments = parser().parse_args(argv)
    if arguments.smoke:
        vars(arguments).update(SMOKE)
    place = environment.describe()
    plan = Plan(
        arguments.batch_size, arguments.warmup, arguments.trials, not arguments.no_backward,
        1e9 * (arguments.memory or place["memory_gb"] / 2),
    )  # fmt: skip
    budget = Budget(arguments.cell_budget, time.time() + arguments.budget)
    out, rows = arguments.output_dir, list[Row]()
    out.mkdir(parents=True, exist_ok=True)
    sweep = itertools.product(chosen(arguments), arguments.embed_dims, arguments.image_sizes, arguments.seq_lens)
    for family, channels, side, steps in sweep:  # T innermost: what longer scans need is predicted from shorter ones
        configuration = Configuration(steps, channels, side)
        run = Run(family, configuration, plan, budget)
        for row in run.measure():
            what = f"{number(row.median_ms)} ms" if row.status == OK else f"{row.status}: {row.note}"
            print(f"{family.name} T={steps} C={channels} H={side} {row.mode}, {row.measure}: {what}", flush=True)
        if arguments.profile:
            run.profile(out / f"trace_{report.slug(family.name)}_T{steps}_C{channels}_H{side}")
        rows += run.rows
        values = [dataclasses.asdict(row) for row in rows]
        write_csv(out / "speed.csv", [field.name for field in dataclasses.fields(Row)], values)
    curves = fits(rows)
    options = {name: str(value) if isinstance(value, Path) else value for name, value in vars(arguments).items()}
    document = {
        "options": options,
        "environment": place,
        "rows": values,
        "fits": [{**dataclasses.asdict(fit), "nearer": fit.better} for fit in curves],
    }
    write_json(out / "speed.json", document)
    figures = report.save_figures(out, rows, curves)
    show(report.tables(rows, curves))
    print(f"written: {out}/speed.{{csv,json}} and {len(figures)} figures there")
    return int(any(row.status in (MISMATCH, ERROR) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
