"""Measures cases in this process: results first, then interleaved times."""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import jax

from benchmarks.kernels import linear, spectral
from benchmarks.kernels.case import NATIVE, TOLERANCE, Case, copy, copy_operands, triad
from benchmarks.timing import Task, affordable, interleave

NAN = float("nan")

CASES: tuple[Case, ...] = (*linear.CASES, *spectral.CASES)
"""All cases."""


@dataclass
class Result:
    """One contender in one case; the fields are the columns of the CSV.

    Attributes:
      status: ok, wrong (no time then) or error.
      ms: median; `ms_best` the shortest call.
      times_native: median over that of our kernel, in the same interleaved run; `times_native_best` likewise of the
        shortest calls.
      gb_s: bytes the case must move, over the median.
      of_copy: that rate over the rate of a plain copy of as many bytes; `of_in_place` of one into a donated buffer, so
        without fresh pages; `of_triad` of a sum of two arrays.
      temp_mb: temporary memory by XLA's analysis.
      rel_err: distance from double precision, relative.
    """

    case: str
    allocator: str
    contender: str
    status: str = "ok"
    ms: float = NAN
    ms_best: float = NAN
    calls: int = 0
    times_native: float = NAN
    times_native_best: float = NAN
    gb_s: float = NAN
    of_copy: float = NAN
    of_in_place: float = NAN
    of_triad: float = NAN
    temp_mb: float = NAN
    compile_s: float = NAN
    rel_err: float = NAN
    note: str = ""


def compiled(function: Callable[..., Any], *arguments: Any) -> tuple[Callable[..., Any], float, float]:
    """A program, the seconds it took to trace, lower and compile, and its temporary memory in MB."""
    start = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    compile_s = time.perf_counter() - start
    analysis = program.memory_analysis()
    return program, compile_s, analysis.temp_size_in_bytes / 1e6 if analysis is not None else NAN


class InPlace:
    """`copy` into its own operand's buffer, again and again."""

    def __init__(self, x: Any) -> None:
        self.x = x
        self.program = jax.jit(copy, donate_argnums=0).lower(x).compile()

    def __call__(self) -> None:
        """Read and write every element once."""
        self.x = jax.block_until_ready(self.program(self.x))


def measure(case: Case, allocator: str, seconds: float, contenders: Iterable[str] = ()) -> list[Result]:
    """All contenders of a case, or some. `seconds` bounds the timed calls of each."""
    arguments = case.operands()
    results: dict[str, Result] = {}
    calls: dict[str, Callable[[], Any]] = {}

    def add(name: str, function: Callable[..., Any], values: tuple[Any, ...]) -> None:
        result = results[name] = Result(case.name, allocator, name)
        try:
            program, result.compile_s, result.temp_mb = compiled(function, *values)
            if name in case.contenders:
                result.rel_err = case.error(program(*values), arguments)
                if not result.rel_err <= TOLERANCE:
                    result.status, result.note = (
                        "wrong",
                        f"relative error {result.rel_err:.1e}, allowed {TOLERANCE:.0e}",
                    )
                    return
        except Exception as problem:
            traceback.print_exc()
            result.status, result.note = "error", f"{type(problem).__name__}: {problem}"[:300]
            return
        calls[name] = lambda: jax.block_until_ready(program(*values))

    for name in contenders or case.contenders:
        add(name, case.function(name), arguments)
    add("copy", copy, copy_operands(case))
    if case.triad:
        add("triad", triad, arguments)
    results["in_place"] = Result(case.name, allocator, "in_place")
    calls["in_place"] = InPlace(copy_operands(case)[0])
    _time(case, calls, results, seconds)
    return list(results.values())


def _time(case: Case, calls: dict[str, Callable[[], Any]], results: dict[str, Result], seconds: float) -> None:
    tasks = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        counts = affordable(time.perf_counter() - start, seconds, warmup=1, repeats=40, retries=1)
        # After a contender that leaves a core idle, the next one's first call also waits for that core to come back.
        tasks[name] = Task(call, settle=True, **counts._asdict())
    timings = interleave(tasks)
    for name, timing in timings.items():
        result = results[name]
        result.ms, result.ms_best, result.calls = timing.median * 1e3, timing.best * 1e3, len(timing.retries[0])
        result.gb_s = case.bytes / timing.median / 1e9
        for column, other in (("of_copy", "copy"), ("of_in_place", "in_place"), ("of_triad", "triad")):
            if other in timings:
                setattr(result, column, timings[other].median / timing.median)
        if NATIVE in timings:
            result.times_native = timing.median / timings[NATIVE].median
            result.times_native_best = timing.best / timings[NATIVE].best


def measure_long(allocator: str) -> list[Result]:
    """Compile time of the gradient of a long scan, once, and the shortest of three calls."""
    case = linear.LONG
    arguments, results = case.operands(), []
    for name in case.contenders:
        result = Result(f"{case.name}-compile", allocator, name)
        program, result.compile_s, result.temp_mb = compiled(case.function(name), *arguments)
        result.rel_err = case.error(program(*arguments), arguments)
        if not result.rel_err <= TOLERANCE:
            result.status, result.note = "wrong", f"relative error {result.rel_err:.1e}, allowed {TOLERANCE:.0e}"
        results.append(result)
    return results


def main() -> None:
    """Worker: the job (JSON) from stdin, a result (JSON) a line on stdout."""
    job = json.load(sys.stdin)
    for case in CASES:
        if case.name in job["cases"]:
            for result in measure(case, job["allocator"], job["seconds"]):
                print(json.dumps(asdict(result)), flush=True)
            jax.clear_caches()
            gc.collect()
    if job["long"]:
        for result in measure_long(job["allocator"]):
            print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    main()
