"""Gradients of the CUDA kernels, on the twin, against sums in complex128."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gpu_offline.spectral import cases
from tests.gpu_offline.spectral.cases import CHECKED, force_chunks
from tests.matrix.cases import widened
from tests.spectral_scan import truth
from tests.spectral_scan.cases import Case, call, make_cotangents, make_operands, pulled_back, smooth_loss
from tests.spectral_scan.test_gradients import check_gradients
from tests.spectral_scan.test_values import any_case


@pytest.mark.parametrize("case", cases.ALL, ids=str)
def test_gradients(case, rng):
    check_gradients(case, "float32", rng, **CHECKED)
    check_gradients(case, "float32", rng, **CHECKED, reverse=True)


@pytest.mark.parametrize("width", cases.SIDES)
@pytest.mark.parametrize("height", cases.SIDES)
def test_every_frame(height, width, rng):
    check_gradients(Case((2,), 3, (height, width, 3), h0=(2,)), "float32", rng, **CHECKED)
    if max(height, width) <= 32:
        check_gradients(Case((), 2, (height, width, 9)), "float64", rng, **CHECKED)


@pytest.mark.parametrize("case", cases.SOME, ids=str)
def test_last_only(case, rng):
    for reverse in (False, True):
        check_gradients(case, "float32", rng, **CHECKED, last_only=True, reverse=reverse)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_dtypes(dtype, rng):
    """Of frames that are not shared: those are rounded once for each sharer."""
    for case in [case for case in cases.SMALL if case.x_batch == case.batch]:
        check_gradients(case, dtype, rng, **CHECKED)
        check_gradients(case, dtype, rng, **CHECKED, reverse=True, last_only=True)


@pytest.mark.parametrize("reset", [None, (), (2,)], ids=str)
@pytest.mark.parametrize("steps, chunk", [(9, 8), (16, 8), (17, 8), (31, 16), (40, 8)])
def test_chunks_of_time(steps, chunk, reset, rng, monkeypatch):
    force_chunks(monkeypatch, chunk)
    case = Case((2,), steps, (4, 8, 5), h0=(1,), reset=reset)
    for options in ({}, {"reverse": True}, {"last_only": True}):
        check_gradients(case, "float32", rng, **CHECKED, **options)
    check_gradients(case, "float64", rng, **CHECKED)


@pytest.mark.parametrize("kib", [7, 8, 12, 17, 24])
def test_states_that_do_not_all_fit(kib, twin, rng):
    """One, two, four or all of a segment's states at a time, to the bit: the others are run again."""
    case = Case((2,), 20, (8, 16, 5), h0=(2,), reset=(2,))
    operands, cotangents = make_operands(case, "float32", rng), make_cotangents(case, "float32", False, rng)
    run = jax.jit(lambda o, ct: jax.tree.leaves(pulled_back(o, ct, **CHECKED)))
    expected = [np.asarray(v).tobytes() for v in run(operands, cotangents)]
    twin.set_shared_memory(kib << 10, 2 * (kib + 1) << 10)
    assert [np.asarray(v).tobytes() for v in run(operands, cotangents)] == expected


def test_last_thread_first_changes_nothing(twin, rng):
    case = Case((2,), 9, (8, 16, 11), h0=(2,))
    operands, cotangents = make_operands(case, "float32", rng), make_cotangents(case, "float32", False, rng)
    run = jax.jit(lambda o, ct: jax.tree.leaves(pulled_back(o, ct, **CHECKED)))
    first = [np.asarray(v).tobytes() for v in run(operands, cotangents)]
    twin.set_last_thread_first(True)
    assert [np.asarray(v).tobytes() for v in run(operands, cotangents)] == first


@pytest.mark.parametrize("chunk", [0, 128])
def test_long_sums_keep_single_precision(chunk, rng, monkeypatch):
    """dk over 2,000 steps of 4 sequences, on a constant signal: no cancellation hides what is lost on the way."""
    force_chunks(monkeypatch, chunk)
    case = Case((4,), 2000, (2, 2, 2))
    operands = make_operands(case, "float32", rng)
    operands["x"] = np.abs(operands["x"])
    operands["k_hat"] = np.abs(operands["k_hat"]).astype("complex64")
    cotangents = np.ones((4, 2000, 2, 2, 2), "float32"), np.zeros((4, *case.spectrum), "complex64")
    actual = jax.jit(lambda o, ct: pulled_back(o, ct, **CHECKED))(operands, cotangents)[1]["k_hat"]
    expected = truth.gradients(widened(operands), *cotangents)["k_hat"]
    assert np.max(np.abs(actual - expected)) <= 2e-6 * np.max(np.abs(expected))


@pytest.mark.parametrize("wanted", [("x",), ("k_hat",), ("h0",), ("k_hat", "h0"), ("x", "h0")], ids=str)
@pytest.mark.parametrize("of", ["y", "final"])
@pytest.mark.parametrize("chunk", [0, 8])
def test_each_gradient_alone(wanted, of, chunk, rng, monkeypatch):
    """What is not asked for is not computed, and what is does not change."""
    force_chunks(monkeypatch, chunk)
    case = Case((2,), 10, (4, 8, 3), h0=(), reset=())
    operands = make_operands(case, "float64", rng)
    ct, ct_final = make_cotangents(case, "float64", False, rng)
    rest = {name: value for name, value in operands.items() if name not in wanted}

    def output(o):
        y, final = call({**o, **rest}, **CHECKED)
        return y if of == "y" else final

    _, vjp = jax.vjp(output, {name: operands[name] for name in wanted})
    actual = vjp(ct if of == "y" else ct_final)[0]
    expected = truth.gradients(operands, ct * (of == "y"), ct_final * (of == "final"))
    for name in wanted:
        np.testing.assert_allclose(actual[name], expected[name], 1e-10, 1e-11)


def test_higher_derivatives_go_through_the_definition(rng):
    """As those of the native CPU kernels."""
    operands = make_operands(Case((2,), 5, (4, 4, 3), h0=(2,)), "float64", rng)
    direction = make_operands(Case((2,), 5, (4, 4, 3), h0=(2,)), "float64", rng)

    def second(implementation):
        loss = lambda o: smooth_loss(*call(o, implementation=implementation))
        return jax.jit(lambda o, d: jax.jvp(jax.grad(loss), (o,), (d,)))(operands, direction)

    for actual, expected in zip(jax.tree.leaves(second("cuda")), jax.tree.leaves(second("cpu"))):
        np.testing.assert_allclose(actual, expected, 1e-9, 1e-9)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=any_case().map(cases.fitting), reverse=st.booleans(), last_only=st.booleans(), seed=st.integers(0, 99))
def test_any_shape(case, reverse, last_only, seed):
    rng = np.random.default_rng(seed)
    options = dict(reverse=reverse, last_only=last_only and case.steps > 0)
    check_gradients(case, "float64", rng, **CHECKED, **options)
