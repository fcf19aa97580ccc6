"""One configuration of one family: every mode compiled, checked against the truth, then timed in one interleaved run."""

from __future__ import annotations

import math
import statistics
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.kernels.measure import compiled, device
from benchmarks.mechanism.budget import MEASURES, Budget
from benchmarks.mechanism.records import ERROR, MISMATCH, NAN, OK, SKIPPED, classify
from benchmarks.speed.arithmetic import Arithmetic, Parts
from benchmarks.speed.families import STATES, Family, Mode
from benchmarks.speed.truth import Truth
from benchmarks.timing import grants, interleave, settled, wished_s

TRANSCENDENTAL = frozenset(
    (
        "exp",
        "exp2",
        "expm1",
        "log",
        "log1p",
        "sin",
        "cos",
        "tan",
        "tanh",
        "atan2",
        "logistic",
        "pow",
        "sqrt",
        "rsqrt",
        "abs",
    )
)
"""Primitives counted as such: `abs` of a complex number is a square root."""


class Configuration(NamedTuple):
    """T steps of C channels of H x (H // 2 + 1) frequencies."""

    T: int
    C: int
    H: int

    def shape(self, batch: int) -> tuple[int, ...]:
        """(B, T, C, H, W_f)"""
        return batch, self.T, self.C, self.H, self.H // 2 + 1


@dataclass
class Row:
    """One program; the fields are the columns of the CSV. Times are in ms, memory in MB.

    Attributes:
      bytes_per_number: as operands and states are kept.
      status: ok, mismatch (the result is wrong, hence no time), skipped or oom or error for the reason in `note`.
      times_ours: median over that of the family's first mode, in the same interleaved run.
      compile_s: trace, lower and compile.
      temp_mb: temporary memory by XLA's analysis; `total_mb` with operands and result.
      ops: operations of the jaxpr, those of a loop's body once; `transcendental_ops` of them.
      rel_err: largest error against double precision, of states or directional derivatives, relative to the largest.
    """

    family: str
    mode: str
    measure: str
    T: int
    C: int
    H: int
    batch: int
    bytes_per_number: int
    status: str = OK
    median_ms: float = NAN
    mean_ms: float = NAN
    std_ms: float = NAN
    min_ms: float = NAN
    calls: int = 0
    times_ours: float = NAN
    compile_s: float = NAN
    temp_mb: float = NAN
    total_mb: float = NAN
    ops: int = 0
    transcendental_ops: int = 0
    rel_err: float = NAN
    backend: str = ""
    device: str = ""
    jax: str = ""
    note: str = ""

    @property
    def configuration(self) -> Configuration:
        """Where in a sweep."""
        return Configuration(self.T, self.C, self.H)


@dataclass(frozen=True)
class Plan:
    """How often programs are called, and what they may use: seconds are the Budget's, bytes those of one program."""

    batch: int
    warmup: int
    trials: int
    backward: bool
    memory: float

    @property
    def measures(self) -> tuple[str, ...]:
        """Forward, and forward and backward."""
        return MEASURES if self.backward else MEASURES[:1]


class Refused(Exception):
    """Why a program is not timed: a status and a reason."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Run:
    """One configuration of one family.

    Attributes:
      rows: one for each mode and measure.
      calls: of those that are right, by their place in `rows`: the call, and the seconds it took.
    """

    def __init__(self, family: Family, configuration: Configuration, plan: Plan, budget: Budget) -> None:
        self.family, self.configuration, self.plan, self.budget = family, configuration, plan, budget
        self.rows: list[Row] = []
        self.calls: dict[int, tuple[Callable[[], Any], float]] = {}
        self.operands: dict[Arithmetic, tuple[Parts, Parts]] = {}
        self.truths: dict[bool, Truth] = {}

    def measure(self) -> list[Row]:
        """Prepare every program, then time those that may be."""
        if self._operand_bytes() <= self.plan.memory:
            self.numbers = self.family.numbers(self.configuration.shape(self.plan.batch))
        for mode in self.family.modes:
            for measure in self.plan.measures:
                self.rows.append(self._row(mode, measure))
                try:
                    self.calls[len(self.rows) - 1] = self._prepare(self.rows[-1], mode, measure)
                except Refused as refused:
                    self.rows[-1].status, self.rows[-1].note = refused.status, str(refused)
                except Exception as error:
                    self._failed(self.rows[-1], mode, measure, error)
        self._time()
        return self.rows

    def _row(self, mode: Mode, measure: str) -> Row:
        return Row(
            self.family.name, mode.name, measure, *self.configuration, batch=self.plan.batch,
            bytes_per_number=mode.arithmetic.bytes, backend=jax.default_backend(), device=device(), jax=jax.__version__,
        )  # fmt: skip

    def _operand_bytes(self) -> int:
        """Of the operands in every arithmetic, all of which are held while the family is measured."""
        transition, state = (STATES**2, STATES) if self.family.vectors else (1, 1)
        lanes = math.prod(self.configuration.shape(self.plan.batch))
        kept = sum({mode.arithmetic: mode.arithmetic.bytes for mode in self.family.modes}.values())
        return lanes * (transition + state) * (kept + np.dtype(np.complex64).itemsize)

    def _prepare(self, row: Row, mode: Mode, measure: str) -> tuple[Callable[[], Any], float]:
        """Compile a program and hold its result to the truth."""
        series = f"{self.family.name}: {mode.name}"
        refusal = self.budget.refusal(series, measure, self.configuration, self.budget.deadline)
        if refusal:
            raise Refused(*refusal)
        self._afford(series, measure, self._operand_bytes(), "the operands of all modes")
        operands = self._stored(mode.arithmetic)
        function = program_of(mode, measure)
        counts = operations(function, *operands)
        row.ops, row.transcendental_ops = counts.total(), sum(counts[name] for name in TRANSCENDENTAL)
        program, row.compile_s, row.temp_mb = compiled(function, *operands)
        sizes = program.memory_analysis()
        total = sizes.temp_size_in_bytes + sizes.argument_size_in_bytes + sizes.output_size_in_bytes
        row.total_mb = total / 1e6
        self._afford(series, measure, total, "operands, result and temporary memory")

        def call() -> Any:
            return jax.block_until_ready(program(*operands))

        start = time.perf_counter()
        result = call()
        call_s = time.perf_counter() - start
        self.budget.record(series, measure, self.configuration, row.compile_s + 2 * call_s)
        truth = self._truth(mode.nonlinear)
        row.rel_err = (truth.error if measure == MEASURES[0] else truth.gradient_error)(mode.arithmetic, result)
        if not row.rel_err <= mode.tolerance:
            raise Refused(MISMATCH, f"relative error {row.rel_err:.1e}, allowed {mode.tolerance:.0e}")
        if call_s < self.budget.cell_s / 2:  # the first call also fills caches and pools
            start = time.perf_counter()
            call()
            call_s = time.perf_counter() - start
        return call, call_s

    def _afford(self, series: str, measure: str, needed: int, what: str) -> None:
        if needed > self.plan.memory:
            reason = f"{what} need {needed / 1e9:.3g} GB, over the memory budget of {self.plan.memory / 1e9:.3g} GB"
            self.budget.give_up(series, measure, self.configuration, SKIPPED, reason)
            raise Refused(SKIPPED, reason)

    def _failed(self, row: Row, mode: Mode, measure: str, error: Exception) -> None:
        row.status = classify(error)
        row.note = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        if row.status == ERROR:
            traceback.print_exc()
        series = f"{self.family.name}: {mode.name}"
        self.budget.give_up(series, measure, self.configuration, row.status, row.note)

    def _stored(self, arithmetic: Arithmetic) -> tuple[Parts, Parts]:
        if arithmetic not in self.operands:
            a, x = self.numbers
            self.operands[arithmetic] = arithmetic.stored(a), arithmetic.stored(x)
        return self.operands[arithmetic]

    def _truth(self, nonlinear: bool) -> Truth:
        if nonlinear not in self.truths:
            self.truths[nonlinear] = Truth(*self.numbers, self.family.vectors, nonlinear)
        return self.truths[nonlinear]

    def _time(self) -> None:
        wish = {"warmup": self.plan.warmup, "repeats": self.plan.trials}
        wishes = {
            place: min(self.budget.cell_s, 2 * wished_s(seconds, **wish, retries=1))
            for place, (_, seconds) in self.calls.items()
        }
        shares = grants(wishes, self.budget.deadline - time.time())
        tasks = {place: settled(*self.calls[place], shares[place], **wish) for place in self.calls}
        timings = interleave(tasks)
        first = {measure: timings.get(place) for place, measure in enumerate(self.plan.measures)}
        for place, timing in timings.items():
            row, samples, ours = self.rows[place], timing.retries[0], first[self.rows[place].measure]
            row.calls, row.median_ms, row.min_ms = len(samples), timing.median * 1e3, timing.best * 1e3
            row.mean_ms, row.std_ms = statistics.mean(samples) * 1e3, statistics.pstdev(samples) * 1e3
            if ours is not None:
                row.times_ours = timing.median / ours.median

    def profile(self, folder: str) -> None:
        """A trace of jax's profiler: one call of each program that was timed."""
        with jax.profiler.trace(folder):
            for place, (call, _) in self.calls.items():
                with jax.profiler.TraceAnnotation(f"{self.rows[place].mode}, {self.rows[place].measure}"):
                    call()


def program_of(mode: Mode, measure: str) -> Callable[[Parts, Parts], Any]:
    """h, or the gradients of the mean |h|^2 in the parts of a and x."""
    if measure == MEASURES[0]:
        return mode.scan

    def loss(a: Parts, x: Parts) -> Any:
        h = mode.arithmetic.decode(mode.scan(a, x))
        return jnp.mean(h.real**2 + h.imag**2)

    return jax.grad(loss, (0, 1))


def operations(function: Callable[..., Any], *operands: Any) -> Counter[str]:
    """Primitives of a function's jaxpr, with those inside of calls and, once, of loops."""
    counts: Counter[str] = Counter()

    def visit(jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            inner = list(_inner(equation.params))
            counts.update([] if inner else [equation.primitive.name])
            for each in inner:
                visit(each)

    visit(jax.make_jaxpr(function)(*operands).jaxpr)
    return counts


def _inner(parameters: dict[str, Any]) -> Iterator[Any]:
    for value in parameters.values():
        for each in value if isinstance(value, (tuple, list)) else (value,):
            each = getattr(each, "jaxpr", each)
            if hasattr(each, "eqns"):
                yield each
