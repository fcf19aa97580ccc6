"""`pytest benchmarks/kernels`: absolute times of each contender. For ratios use `python -m benchmarks.kernels`."""

from __future__ import annotations

import jax
import pytest

from benchmarks.kernels.case import TOLERANCE, Case, copy, copy_operands
from benchmarks.kernels.linear import LONG
from benchmarks.kernels.measure import CASES, compiled

CONTENDERS = [
    pytest.param(case, contender, id=f"{case.name}-{contender}") for case in CASES for contender in case.contenders
]


@pytest.mark.parametrize(("case", "contender"), CONTENDERS)
def test_contender(benchmark, case: Case, contender: str) -> None:
    """One contender, once its result is known to be right."""
    benchmark.group = case.name
    arguments = case.operands()
    program, compile_s, temp_mb = compiled(case.function(contender), *arguments)
    relative = case.error(program(*arguments), arguments)
    assert relative <= TOLERANCE, f"relative error {relative:.1e}, allowed {TOLERANCE:.0e}"
    benchmark.extra_info.update(compile_s=compile_s, temp_mb=temp_mb, bytes=case.bytes, rel_err=relative)
    benchmark.pedantic(lambda: jax.block_until_ready(program(*arguments)), rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_copy(benchmark, case: Case) -> None:
    """A copy of as many bytes as the case must move."""
    benchmark.group = case.name
    arguments = copy_operands(case)
    program, *_ = compiled(copy, *arguments)
    benchmark.pedantic(lambda: jax.block_until_ready(program(*arguments)), rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("contender", LONG.contenders)
def test_compile_long_gradient(benchmark, contender: str) -> None:
    """Trace, lower and compile the gradient of T=50,000, once: XLA's associative scan takes over 20 s."""
    benchmark.group = f"{LONG.name}-compile"
    arguments = LONG.operands()
    benchmark.pedantic(lambda: compiled(LONG.function(contender), *arguments), rounds=1)
