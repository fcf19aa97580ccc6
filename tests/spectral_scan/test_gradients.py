"""Gradients of spectral_scan against sums in complex128: of x, k_hat and h0, from the cotangents of y and the last state."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cssm_kernels import spectral_scan
from tests.matrix.cases import REAL, widened
from tests.spectral_scan import cases, truth
from tests.spectral_scan.cases import Case, make_cotangents, make_operands, pulled_back
from tests.spectral_scan.test_values import any_case

# Share of the largest of its array: sums over time, batch and frame. Those of half-precision x are rounded once, at the end.
TOLERANCE = {
    "float32": 1e-5,
    "complex64": 1e-5,
    "float64": 1e-13,
    "complex128": 1e-13,
    "bfloat16": 2**-8,
    "float16": 2**-11,
}


def check_gradients(case, dtype, rng, *, implementation, last_only=False, **options):
    operands = make_operands(case, dtype, rng)
    cotangents = make_cotangents(case, dtype, last_only, rng)
    options |= {"last_only": last_only}
    run = jax.jit(lambda o, ct: pulled_back(o, ct, implementation=implementation, **options)[1])
    actual = run(operands, cotangents)
    expected = truth.gradients(widened(operands), *widened(dict(enumerate(cotangents))).values(), **options)
    for name, value in expected.items():
        assert actual[name].dtype == operands[name].dtype
        assert actual[name].shape == value.shape
        largest = np.max(np.abs(value), initial=0)
        error = np.max(np.abs(np.asarray(actual[name]).astype(value.dtype) - value), initial=0)
        tolerance = TOLERANCE[str(operands[name].dtype)] * (1 + largest)
        assert error <= tolerance, f"{name} is off by {error:.2e}, {tolerance:.2e} allowed"


@pytest.mark.parametrize("case", cases.ALL, ids=str)
def test_gradients(case, rng):
    check_gradients(case, "float32", rng, implementation="cpu")
    check_gradients(case, "float32", rng, implementation="cpu", reverse=True)


@pytest.mark.parametrize("case", cases.SOME, ids=str)
def test_last_only(case, rng):
    for reverse in (False, True):
        check_gradients(case, "float32", rng, implementation="cpu", last_only=True, reverse=reverse)


@pytest.mark.parametrize("dtype", [dtype for dtype in REAL if dtype != "float32"])
def test_dtypes(dtype, rng):
    for case in cases.SOME[::2]:
        check_gradients(case, dtype, rng, implementation="cpu")
        check_gradients(case, dtype, rng, implementation="cpu", reverse=True, last_only=True)


@pytest.mark.parametrize("implementation", [name for name in cases.ON_CPU if name != "cpu"])
@pytest.mark.parametrize("case", cases.FEW[:-1], ids=str)
def test_every_form(implementation, case, rng):
    check_gradients(case, "float64", rng, implementation=implementation, reverse=bool(case.reset))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(case=any_case(), reverse=st.booleans(), last_only=st.booleans(), seed=st.integers(0, 99))
def test_any_shape(case, reverse, last_only, seed):
    rng = np.random.default_rng(seed)
    options = dict(reverse=reverse, last_only=last_only and case.steps > 0)
    check_gradients(case, "float64", rng, implementation="cpu", **options)


def test_long_sums_keep_single_precision(rng):
    """dk over 4,000 steps of 4 sequences, on a constant signal: no cancellation hides what is lost on the way."""
    case = Case((4,), 4000, (4, 4, 3))
    operands = make_operands(case, "float32", rng)
    operands["x"] = np.abs(operands["x"])
    operands["k_hat"] = np.abs(operands["k_hat"]).astype("complex64")
    cotangents = np.ones((4, 4000, 4, 4, 3), "float32"), np.zeros((4, *case.spectrum), "complex64")
    actual = jax.jit(pulled_back)(operands, cotangents)[1]["k_hat"]
    expected = truth.gradients(widened(operands), *cotangents)["k_hat"]
    assert np.max(np.abs(actual - expected)) <= 2e-6 * np.max(np.abs(expected))


@pytest.mark.parametrize("reset", [None, (), (2,)], ids=str)
@pytest.mark.parametrize("wanted", [("x",), ("k_hat",), ("h0",), ("k_hat", "h0"), ("x", "h0")], ids=str)
@pytest.mark.parametrize("of", ["y", "final"])
def test_each_gradient_alone(wanted, of, reset, rng):
    """What is not asked for is not computed, and what is does not change."""
    case = Case((2,), 10, (4, 5, 3), h0=(), reset=reset)
    operands = make_operands(case, "float64", rng)
    ct, ct_final = make_cotangents(case, "float64", False, rng)
    rest = {name: value for name, value in operands.items() if name not in wanted}

    def output(o):
        y, final = cases.call({**o, **rest})
        return y if of == "y" else final

    _, vjp = jax.vjp(output, {name: operands[name] for name in wanted})
    actual = vjp(ct if of == "y" else ct_final)[0]
    expected = truth.gradients(operands, ct * (of == "y"), ct_final * (of == "final"))
    for name in wanted:
        np.testing.assert_allclose(actual[name], expected[name], 1e-10, 1e-11)


def test_no_steps_pass_the_gradient_of_the_initial_state():
    x, k_hat, h0 = jnp.ones((2, 0, 4, 5, 3)), jnp.ones((4, 3, 3), complex), jnp.ones((4, 3, 3), complex)

    def loss(h0):
        y, final = spectral_scan(x, k_hat, h0, return_final=True)
        return jnp.sum(y) + jnp.sum(final.real)

    np.testing.assert_array_equal(jax.grad(loss)(h0), np.full((4, 3, 3), 2))
