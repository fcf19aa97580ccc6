"""`cssm sweep run|list|results`: grids of runs, resumed after any failure, and their results."""

from __future__ import annotations

import argparse
import fnmatch
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cssm.cli.arguments import setting
from cssm.cli.bad_input import BadInputError

if TYPE_CHECKING:
    from cssm.sweep.grid import Sweep
    from cssm.sweep.runner import Site

FAILED = 1
INTERRUPTED = 130


def add_parser(subparsers: Any) -> None:
    """Adds `sweep` to the subcommands."""
    parser = subparsers.add_parser(
        "sweep", help="run a grid of trainings, here or on a cluster, and tabulate its results"
    )
    actions = parser.add_subparsers(dest="action", required=True)

    run_parser = actions.add_parser(
        "run",
        help="run what a grid has not run yet",
        description="Runs what a grid has not run yet, what died, and what failed.",
    )
    run_parser.add_argument("grid", metavar="GRID", help="a YAML file, or the name of a published sweep")
    run_parser.add_argument("--dry-run", action="store_true", help="print the commands and their number")
    run_parser.add_argument("--only", metavar="GLOB", default="*", help="the runs whose names match")
    run_parser.add_argument("--out", type=Path, metavar="DIR", help="of the log and the runs (sweeps/NAME)")
    run_parser.add_argument(
        "--path",
        action="append",
        type=_path,
        default=[],
        dest="paths",
        metavar="NAME=PATH",
        help="stands for ${NAME} in the grid, such as girik=/data/15dist; may be repeated",
    )
    run_parser.add_argument(
        "--set",
        action="append",
        type=setting,
        default=[],
        dest="settings",
        metavar="FLAG=VALUE",
        help="an argument of every run, in place of the grid's, such as epochs=1 or bf16=True; may be repeated",
    )
    run_parser.add_argument(
        "--devices",
        type=_devices,
        default=(None,),
        metavar="0,1",
        help="one run on each; 0+1 is one run on both (one run at a time, on whatever it finds)",
    )
    run_parser.add_argument("--no-retry-failed", action="store_true", help="leave the runs that failed")
    run_parser.add_argument(
        "--dead-host", action="append", default=[], metavar="HOST", help="take the runs of another host for dead"
    )
    run_parser.add_argument("--slurm", action="store_true", help="submit one job a run, and return")
    run_parser.add_argument(
        "--slurm-set",
        action="append",
        type=setting,
        default=[],
        metavar="PARAMETER=VALUE",
        help="of submitit's executor, such as slurm_partition=gpu or timeout_min=600; may be repeated",
    )
    run_parser.set_defaults(run=run)

    list_parser = actions.add_parser("list", help="the published sweeps and their numbers of runs")
    list_parser.set_defaults(run=list_sweeps)

    results_parser = actions.add_parser("results", help="a table and pictures of the finished runs of a sweep")
    results_parser.add_argument("dir", type=Path, metavar="DIR", help="the sweep's --out")
    results_parser.set_defaults(run=results)


def run(args: argparse.Namespace) -> int:
    """Runs, submits or prints a grid; 0, 1 where runs failed, and 130 where it was stopped.

    Raises:
      BadInputError: no such grid, no run of it, or what this machine lacks.
    """
    from cssm.sweep import grid
    from cssm.sweep.runner import Site

    try:
        sweep = grid.load(grid.find(args.grid))
        kept = tuple(run for run in sweep.runs if fnmatch.fnmatchcase(run.name, args.only))
        if not kept:
            raise BadInputError(f"--only: got {args.only!r}, expected a pattern of names such as {sweep.runs[0].name}")
        sweep = replace(sweep, runs=tuple(grid.with_args(run, "--set", dict(args.settings)) for run in kept))
        site = Site(args.out or Path("sweeps") / sweep.name, dict(args.paths))
        if args.dry_run:
            return _print(sweep, site)
        return _submit(sweep, site, args) if args.slurm else _run_here(sweep, site, args)
    except (ValueError, ModuleNotFoundError) as error:
        raise BadInputError(error) from error


def list_sweeps(args: argparse.Namespace) -> int:
    """Prints the published sweeps; 0."""
    from cssm.sweep import grid

    for name in grid.published():
        print(f"{len(grid.load(grid.find(name)).runs):4}  {name}")
    return 0


def results(args: argparse.Namespace) -> int:
    """Writes results.csv, results.md and, with matplotlib, the pictures beside the log, and prints the table; 0.

    Raises:
      BadInputError: no sweep was run there.
    """
    from cssm.sweep import figures
    from cssm.sweep.results import as_csv, as_markdown, collect

    try:
        finished = collect(args.dir)
    except ValueError as error:
        raise BadInputError(f"DIR: {error}") from error
    (args.dir / "results.csv").write_text(as_csv(finished), encoding="utf-8")
    (args.dir / "results.md").write_text(as_markdown(finished), encoding="utf-8")
    print(as_markdown(finished), end="")
    try:
        drawn = figures.draw(finished, args.dir)
    except ModuleNotFoundError as error:
        print(
            f"no pictures: {error.name} is not installed; they need the extra `bench`: pip install 'cssm-kernels[bench]'"
        )
        return 0
    for path in drawn:
        print(path)
    return 0


def _print(sweep: Sweep, site: Site) -> int:
    from cssm.sweep.runner import command

    for run in sweep.runs:
        print(shlex.join(command(sweep, site, run, run.batch)))
    print(f"{len(sweep.runs)} runs")
    return 0


def _run_here(sweep: Sweep, site: Site, args: argparse.Namespace) -> int:
    from cssm.sweep.runner import Runner

    runner = Runner(sweep, site, echo=len(args.devices) == 1)
    again = runner.prepare(not args.no_retry_failed, args.dead_host)
    if again:
        print(f"again: {' '.join(again)}")
    totals = runner.run(args.devices)
    left = len(sweep.runs) - totals.done - totals.failed - totals.interrupted
    print(f"{totals.done} done, {totals.failed} failed, {totals.interrupted} interrupted, {left} not run")
    if totals.interrupted:
        return INTERRUPTED
    return FAILED if totals.failed else 0


def _submit(sweep: Sweep, site: Site, args: argparse.Namespace) -> int:
    from cssm.sweep.slurm import submit

    jobs = submit(
        sweep, site, dict(args.slurm_set), retry_failed=not args.no_retry_failed, dead_hosts=tuple(args.dead_host)
    )
    print(f"{len(jobs)} jobs {' '.join(job.job_id for job in jobs)}")
    return 0


def _path(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name.isidentifier() and equals and path):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected NAME=PATH")
    return name, path


def _devices(text: str) -> tuple[str, ...]:
    devices = tuple(device.replace("+", ",") for device in text.split(","))
    if not all(devices) or len(set(devices)) < len(devices):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected different devices, such as 0,1")
    return devices
