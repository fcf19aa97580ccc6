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

from benchmarks import cuda_events, environment, platforms
from benchmarks.kernel_calls import kernel_calls
from benchmarks.kernels import dense, depthwise, lanes, linear, norm, spectral, split
from benchmarks.kernels.case import NATIVE, TOLERANCE, Case, copy, copy_operands, triad
from benchmarks.timing import interleave, settled

NAN = float("nan")

CASES: tuple[Case, ...] = (
    *linear.CASES, *spectral.CASES, *lanes.CASES, *split.CASES, *depthwise.CASES, *norm.CASES, *dense.CASES,
)  # fmt: skip
"""All cases on a CPU."""

GPU_CASES: tuple[Case, ...] = (*linear.CASES, *linear.GPU_CASES, *lanes.CASES, *spectral.SCANS, *spectral.GPU_CASES)
"""All cases on a GPU."""

LEFT_OUT = "left out"
NOT_ON_A_GPU = "memory on a GPU comes from XLA's pool: there are no fresh pages to save"


def cases(platform: str) -> tuple[Case, ...]:
    """All cases on a platform of `platforms`, resolved."""
    return GPU_CASES if platform == platforms.CUDA else CASES


@dataclass
class Result:
    """One contender in one case; the fields are the columns of the CSV.

    Attributes:
      status: ok, wrong (no time then), error, or left out for the reason in `note`.
      clock: 'wall', or 'cuda events': time on the GPU, without dispatch.
      kernels: custom calls of ours in the program; none where it is XLA's.
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
    device: str = ""
    clock: str = "wall"
    kernels: str = ""
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


def device() -> str:
    """What is measured on."""
    kind = jax.devices()[0].device_kind
    return environment.cpu_model() if jax.default_backend() == "cpu" else kind


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
    clock = cuda_events.clock()

    def result_of(name: str) -> Result:
        results[name] = Result(
            case.name, allocator, name, device=device(), clock="wall" if clock is None else "cuda events"
        )
        return results[name]

    def add(name: str, function: Callable[..., Any], values: tuple[Any, ...]) -> None:
        result = result_of(name)
        try:
            program, result.compile_s, result.temp_mb = compiled(function, *values)
            result.kernels = " ".join(f"{name} x{count}" for name, count in kernel_calls(program).items())
            if name in case.contenders:
                result.rel_err = case.error(program(*values), arguments)
                if not result.rel_err <= TOLERANCE:
                    result.status, result.note = (
                        "wrong",
                        f"relative error {result.rel_err:.1e}, allowed {TOLERANCE:.0e}",
                    )
                    return
            if clock is None:
                calls[name] = lambda: jax.block_until_ready(program(*values))
            else:
                calls[name] = clock.counting(cuda_events.device_seconds(function, *values))
        except Exception as problem:
            traceback.print_exc()
            result.status, result.note = "error", f"{type(problem).__name__}: {problem}"[:300]

    for name in contenders or case.contenders:
        add(name, case.function(name), arguments)
    add("copy", copy, copy_operands(case))
    if case.triad:
        add("triad", triad, arguments)
    in_place = result_of("in_place")
    if cuda_events.on_cuda():
        in_place.status, in_place.note = LEFT_OUT, NOT_ON_A_GPU
    else:
        calls["in_place"] = InPlace(copy_operands(case)[0])
    _time(case, calls, results, seconds, clock or time.perf_counter)
    return list(results.values())


def _time(
    case: Case,
    calls: dict[str, Callable[[], Any]],
    results: dict[str, Result],
    seconds: float,
    clock: Callable[[], float],
) -> None:
    tasks = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        tasks[name] = settled(call, time.perf_counter() - start, seconds, warmup=1, repeats=40)
    timings = interleave(tasks, clock=clock)
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
        result = Result(f"{case.name}-compile", allocator, name, device=device())
        program, result.compile_s, result.temp_mb = compiled(case.function(name), *arguments)
        result.rel_err = case.error(program(*arguments), arguments)
        if not result.rel_err <= TOLERANCE:
            result.status, result.note = "wrong", f"relative error {result.rel_err:.1e}, allowed {TOLERANCE:.0e}"
        results.append(result)
    return results


def main() -> None:
    """Worker: the job (JSON) from stdin, a result (JSON) a line on stdout."""
    job = json.load(sys.stdin)
    for case in cases(job["platform"]):
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
