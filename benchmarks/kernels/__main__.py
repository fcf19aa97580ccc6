"""`python -m benchmarks.kernels`: our kernels against XLA, interleaved, under each malloc setting."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import environment, platforms
from benchmarks.documents import write_csv, write_json
from benchmarks.mechanism.tables import number, times
from benchmarks.mechanism.terminal import console


def parser() -> argparse.ArgumentParser:
    """The argument parser."""
    result = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    result.add_argument("--only", default="", metavar="TEXT", help="cases whose name contains this")
    result.add_argument(
        "--seconds", type=float, default=1.5, help="timed calls of one contender in one case take at most this"
    )
    result.add_argument("--platform", choices=platforms.PLATFORMS, default=platforms.AUTO, help=platforms.HELP)
    result.add_argument(
        "--allocators", help="malloc settings (all; the default one for a GPU, which has no use for it)"
    )
    result.add_argument(
        "--no-long", action="store_true", help="leave out the compile time of T=50,000 (XLA needs over 20 s)"
    )
    result.add_argument("--out", type=Path, default=Path("results/kernels"))
    return result


def run(allocator: str, platform: str, cases: list[str], seconds: float, long: bool) -> list[dict[str, Any]]:
    """Measure on this platform in a process with this malloc setting."""
    job = {"allocator": allocator, "platform": platform, "cases": cases, "seconds": seconds, "long": long}
    variables = environment.with_allocator(allocator) | platforms.VARIABLES[platform]
    results = []
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.kernels.measure"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job))
        process.stdin.close()
        for line in process.stdout:
            results.append(json.loads(line))
            print(f"{allocator} {results[-1]['case']} {results[-1]['contender']}: {results[-1]['status']}", flush=True)
    if process.returncode:
        raise RuntimeError(f"the measuring process ended with {process.returncode}; its messages are above")
    return results


def failed(one: dict[str, Any]) -> bool:
    """Whether a result is wrong or missing for no good reason."""
    return one["status"] not in ("ok", "left out")


def table(results: list[dict[str, Any]]) -> Table:
    """One line a case: how much slower the others are than our kernel, and how near that is to a copy."""
    columns = (
        "case", "malloc", "native ms", "xla / native", "(best)", "lax.scan / native", "(best)", "native GB/s",
        "of copy", "in place", "of triad", "temp MB native", "xla", "lax.scan", "compile s native", "xla", "lax.scan",
    )  # fmt: skip
    where = "; ".join(dict.fromkeys(f"{one['device']}, {one['clock']}" for one in results if math.isfinite(one["ms"])))
    result = Table(title=f"medians of interleaved calls; (best): the same of the shortest calls ({where})")
    for column in columns:
        text = column in ("case", "malloc")
        result.add_column(column, justify="left" if text else "right", no_wrap=column == "case")
    grouped: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for one in results:
        grouped.setdefault((one["case"], one["allocator"]), {})[one["contender"]] = one
    for (case, allocator), contenders in grouped.items():
        native, xla, sequential = (contenders.get(name, {}) for name in ("native", "xla", "sequential"))

        def get(one: dict[str, Any], column: str) -> float:
            return one.get(column, math.nan)

        ratios = [
            times(get(one, column)) for one in (xla, sequential) for column in ("times_native", "times_native_best")
        ]
        wrong = [f"{name}: {one['status']}" for name, one in contenders.items() if failed(one)]
        result.add_row(
            case + (f" [{', '.join(wrong)}]" if wrong else ""),
            allocator,
            number(get(native, "ms")),
            *ratios,
            number(get(native, "gb_s")),
            *(
                f"{100 * get(native, name):.0f}%" if math.isfinite(get(native, name)) else ""
                for name in ("of_copy", "of_in_place", "of_triad")
            ),
            *(number(get(one, "temp_mb")) for one in (native, xla, sequential)),
            *(number(get(one, "compile_s")) for one in (native, xla, sequential)),
        )
    return result


def main(argv: list[str] | None = None) -> int:
    """Entry point: 1 if any result was wrong or failed."""
    from benchmarks.kernels.measure import CASES, NOT_ON_A_GPU, Result, cases

    arguments = parser().parse_args(argv)
    try:
        platform = platforms.resolve(arguments.platform)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    names = [case.name for case in cases(platform) if arguments.only in case.name]
    allocators = (arguments.allocators or ",".join(environment.ALLOCATORS)).split(",")
    if platform == platforms.CUDA:
        allocators = allocators[:1]
        gone = ", ".join(case.name for case in CASES if case not in cases(platform))
        print(f"left out on a GPU: {gone}: XLA on both sides; copies in place: {NOT_ON_A_GPU}")
    results: list[dict[str, Any]] = []
    for allocator in allocators:
        long = not arguments.no_long and allocator == allocators[0] and arguments.only in "compile"
        results += run(allocator, platform, names, arguments.seconds, long)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_csv(arguments.out / "kernels.csv", [field.name for field in fields(Result)], results)
    facts = {**environment.describe(), "allocators": dict(environment.ALLOCATORS)}
    write_json(arguments.out / "kernels.json", {"environment": facts, "results": results})
    console().print(table(results))
    return int(any(failed(one) for one in results))


if __name__ == "__main__":
    sys.exit(main())
