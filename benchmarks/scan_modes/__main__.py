"""`python -m benchmarks.scan_modes`: every published scan mode, and ours, jitted, in one interleaved run.

Shapes of the published suites: B = 8, C = 32, 32 x 17 frequencies, T = 8 to 64 (`bench_scan_modes`), to 128 (`bench_ssd`).
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

from benchmarks.kernels.measure import compiled
from benchmarks.mechanism.tables import number, times
from benchmarks.mechanism.terminal import console
from benchmarks.scan_modes import scalar, split, triangular
from benchmarks.timing import Timing, interleave, settled
from cssm_kernels import linear_scan

NATIVE = "native"
TOLERANCES = {
    "split bf16 (complex32)": 3e-2,
    "split fp8 (complex16)": 0.3,
    "phase split bf16": 0.3,
    "3x3 split bf16": 3e-2,
}
"""Largest difference from ours, relative to the largest value, of modes that do not compute in float32."""
FLOAT32 = 1e-4


def scalar_modes(chunk: int) -> dict[str, Callable[[Any, Any], Any]]:
    """Name -> (A, x) -> h."""
    return {
        NATIVE: functools.partial(linear_scan, axis=1),
        "associative": scalar.associative,
        "split bf16 (complex32)": split.split,
        "split fp8 (complex16)": functools.partial(split.split, dtype=jnp.float8_e4m3fn),
        "phase split bf16": split.phase_split,
        "ssd": functools.partial(scalar.ssd, chunk=chunk),
        "quadratic": scalar.quadratic,
        "chunked quadratic": functools.partial(scalar.chunked_quadratic, chunk=chunk),
    }


def triangular_modes(chunk: int) -> dict[str, Callable[[Any, Any, Any], Any]]:
    """Name -> (d, w, x) -> the three states."""
    return {
        NATIVE: triangular.native,
        "native cascade": functools.partial(triangular.cascade, functools.partial(linear_scan, axis=1)),
        "3x3 split bf16": triangular.associative,
        "cascaded ssd": functools.partial(triangular.cascade, functools.partial(scalar.ssd, chunk=chunk)),
        "cascaded quadratic": functools.partial(triangular.cascade, scalar.quadratic),
    }


def operands(shape: tuple[int, ...], states: int | None) -> tuple[Any, ...]:
    """Decays in (0.3, 0.95), complex inputs of standard deviation 0.3; for three states couplings in (0, 0.3) too."""
    random = np.random.default_rng(0)
    full = shape if states is None else (*shape, states)
    decay = jnp.asarray(random.uniform(0.3, 0.95, full).astype(np.float32))
    x = (0.3 * random.standard_normal((*full, 2), np.float32)).view(np.complex64)[..., 0]
    if states is None:
        return decay, jnp.asarray(x)
    return decay, jnp.asarray(random.uniform(0, 0.3, (*shape, states - 1)).astype(np.float32)), jnp.asarray(x)


def with_gradient(mode: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient of mean |h|^2 in every operand."""

    def loss(*values: Any) -> Any:
        return jnp.mean(jnp.abs(mode(*values)) ** 2)

    return lambda *values: jax.grad(loss, tuple(range(len(values))))(*values)


def disagreements(modes: dict[str, Callable[..., Any]], values: tuple[Any, ...]) -> dict[str, float]:
    """Largest difference of each from ours, relative to the largest value."""
    results = {name: np.asarray(jax.jit(mode)(*values)) for name, mode in modes.items()}
    largest = np.abs(results[NATIVE]).max()
    return {name: float(np.abs(result - results[NATIVE]).max() / largest) for name, result in results.items()}


class Measured(NamedTuple):
    """One mode."""

    timing: Timing
    temp_mb: float


def measure(modes: dict[str, Callable[..., Any]], values: tuple[Any, ...], seconds: float) -> dict[str, Measured]:
    """By name: calls of each in random order, each after an untimed one, and the temporary memory of its program."""
    tasks, memory = {}, {}
    for name, mode in modes.items():
        program, _, memory[name] = compiled(mode, *values)
        call = functools.partial(lambda run: jax.block_until_ready(run(*values)), program)
        call()
        start = time.perf_counter()
        call()
        tasks[name] = settled(call, time.perf_counter() - start, seconds, warmup=1, repeats=20)
    return {name: Measured(timing, memory[name]) for name, timing in interleave(tasks).items()}


def cells(name: str, measured: dict[str, Measured]) -> list[str]:
    """Median, the same over ours, and memory."""
    median = measured[name].timing.median
    return [number(median * 1e3), times(median / measured[NATIVE].timing.median), number(measured[name].temp_mb)]


def main(argv: list[str] | None = None) -> int:
    """Entry point: 1 if any mode disagrees with ours."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scan_modes", description=__doc__)
    parser.add_argument("--seq-lens", default="8,16,32,64,128")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--embed-dim", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--chunk-size", type=int, default=8)
    parser.add_argument("--skip-3x3", action="store_true")
    parser.add_argument("--seconds", type=float, default=1.0, help="timed calls of one mode take at most this")
    arguments = parser.parse_args(argv)
    table = Table(title="medians of interleaved calls, ms; in brackets: times ours")
    columns = ("T", "states", "mode", "difference", "forward", "", "temp MB", "forward + backward", "", "temp MB")
    for column in columns:
        table.add_column(column, justify="right" if column != "mode" else "left")
    wrong = 0
    for steps in map(int, arguments.seq_lens.split(",")):
        shape = (
            arguments.batch_size, steps, arguments.embed_dim, arguments.image_size, arguments.image_size // 2 + 1
        )  # fmt: skip
        for states in (None,) if arguments.skip_3x3 else (None, 3):
            modes = (scalar_modes if states is None else triangular_modes)(min(steps, arguments.chunk_size))
            values = operands(shape, states)
            differences = disagreements(modes, values)
            bad = {name for name, d in differences.items() if not d <= TOLERANCES.get(name, FLOAT32)}
            wrong += len(bad)
            right = {name: mode for name, mode in modes.items() if name not in bad}
            forward = measure(right, values, arguments.seconds)
            gradient = measure({n: with_gradient(m) for n, m in right.items()}, values, arguments.seconds)
            for name in modes:
                figures = ["wrong", *[""] * 5]
                if name in right:
                    figures = [*cells(name, forward), *cells(name, gradient)]
                table.add_row(str(steps), str(states or 1), name, f"{differences[name]:.0e}", *figures)
    console().print(table)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
