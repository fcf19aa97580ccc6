"""Gradients of spectral_scan on the GPU, and the rest of JAX around it."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from tests.gpu.device import each_spectral, on_cpu
from tests.gpu_offline.spectral import cases as fitting

# Collected here as tests of the GPU.
from tests.gpu_offline.spectral.test_dispatch import test_nothing_to_do, test_vmap  # noqa: F401
from tests.gpu_offline.spectral.test_gradients import (  # noqa: F401
    test_any_shape,
    test_chunks_of_time,
    test_dtypes,
    test_each_gradient_alone,
    test_every_frame,
    test_gradients,
    test_higher_derivatives_go_through_the_definition,
    test_last_only,
    test_long_sums_keep_single_precision,
)
from tests.spectral_scan import cases
from tests.spectral_scan.cases import Case, make_cotangents, make_operands, pulled_back, split_flags
from tests.spectral_scan.test_gradients import check_gradients
from tests.spectral_scan.test_transforms import assert_close, derivatives

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("case", fitting.SOME, ids=str)
def test_default(case, rng):
    check_gradients(case, "float32", rng, implementation=None)


@pytest.mark.parametrize("case", cases.FEW[:-1], ids=str)
def test_default_where_there_is_no_kernel(case, rng):
    check_gradients(case, "float64", rng, implementation=None, reverse=bool(case.reset))


@each_spectral
def test_second_order_equals_that_of_the_native_cpu_kernel(implementation, rng):
    case = Case((2,), 18, (4, 8, 3), k_batch=(2,), h0=(), reset=(2,))
    operands, flags = split_flags(make_operands(case, "float64", rng))
    actual = jax.jit(lambda o: derivatives(o, flags, implementation=implementation))(operands)
    assert_close(actual, on_cpu(lambda o: derivatives(o, flags, implementation="cpu"), operands))


@each_spectral
def test_vmap_of_derivatives(implementation, rng):
    base, flags = split_flags(make_operands(Case((), 9, (4, 4, 2), h0=(), reset=()), "float64", rng))
    run = lambda o: derivatives(o, flags, implementation=implementation)
    stacked = {name: np.stack([value, 0.5 * value]) for name, value in base.items()}
    actual = jax.jit(jax.vmap(run))(stacked)
    for i, factor in enumerate((1, 0.5)):
        single = jax.jit(run)({name: factor * value for name, value in base.items()})
        assert_close(jax.tree.map(lambda v, i=i: v[i], actual), single)


@pytest.mark.parametrize("frame", [(32, 32, 32), (64, 64, 9), (16, 64, 17), (56, 56, 8), (128, 128, 3)], ids=str)
def test_equals_the_native_cpu_kernel(frame, rng):
    """At sizes of a model: frames with a kernel, and frames without."""
    case = Case((3,), 40, frame, h0=(3,), reset=(3,))
    operands, cotangents = make_operands(case, "float32", rng), make_cotangents(case, "float32", False, rng)
    run = lambda o, ct, implementation=None: pulled_back(o, ct, implementation=implementation)
    actual = jax.jit(run)(operands, cotangents)
    expected = on_cpu(lambda o, ct: run(o, ct, "cpu"), operands, cotangents)
    assert_close(actual, expected, 1e-5)


@each_spectral
def test_same_bits_from_run_to_run(implementation, rng):
    case = Case((6,), 40, (16, 32, 37), h0=(6,))
    operands, cotangents = make_operands(case, "float32", rng), make_cotangents(case, "float32", False, rng)
    run = jax.jit(lambda o, ct: jax.tree.leaves(pulled_back(o, ct, implementation=implementation)))
    first = [np.asarray(v).tobytes() for v in run(operands, cotangents)]
    for _ in range(5):
        assert [np.asarray(v).tobytes() for v in run(operands, cotangents)] == first
