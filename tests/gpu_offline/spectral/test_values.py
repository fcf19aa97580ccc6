"""Values of the CUDA kernels, on the twin, against a loop in complex128."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gpu_offline.spectral import cases
from tests.gpu_offline.spectral.cases import CHECKED, force_chunks
from tests.matrix.cases import random_array, widened
from tests.spectral_scan import truth
from tests.spectral_scan.cases import Case, compiled, make_operands, pulled_back
from tests.spectral_scan.test_values import any_case, check_values


@pytest.mark.parametrize("case", cases.ALL, ids=str)
def test_values(case, rng):
    check_values(case, "float32", rng, **CHECKED)
    check_values(case, "float32", rng, **CHECKED, reverse=True)


@pytest.mark.parametrize("width", cases.SIDES)
@pytest.mark.parametrize("height", cases.SIDES)
def test_every_frame(height, width, rng):
    check_values(Case((2,), 3, (height, width, 3), h0=(2,)), "float32", rng, **CHECKED)
    if max(height, width) <= 32:
        check_values(Case((), 2, (height, width, 9)), "float64", rng, **CHECKED)


@pytest.mark.parametrize("case", cases.SOME, ids=str)
def test_last_only(case, rng):
    for reverse in (False, True):
        check_values(case, "float32", rng, **CHECKED, last_only=True, reverse=reverse)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_dtypes(dtype, rng):
    for case in cases.SMALL:
        check_values(case, dtype, rng, **CHECKED)
        check_values(case, dtype, rng, **CHECKED, reverse=True, last_only=True)


@pytest.mark.parametrize("reset", [None, (), (2,)], ids=str)
@pytest.mark.parametrize("steps, chunk", [(9, 8), (16, 8), (17, 8), (31, 16), (40, 8)])
def test_chunks_of_time(steps, chunk, reset, rng, monkeypatch):
    force_chunks(monkeypatch, chunk)
    case = Case((2,), steps, (4, 8, 5), h0=(1,), reset=reset)
    for options in ({}, {"reverse": True}, {"last_only": True}):
        check_values(case, "float32", rng, **CHECKED, **options)
    check_values(case, "float64", rng, **CHECKED)


def test_powers_beyond_single_precision(rng, monkeypatch):
    """k^64 overflows: a state of zero stays zero, and a tiny one comes back into range."""
    force_chunks(monkeypatch, 64)
    operands = make_operands(Case((2,), 150, (2, 2, 3)), "float32", rng)
    operands["k_hat"][:] = 5
    operands["x"][:, :130] = 0
    tiny = {**operands, "h0": np.full((2, 2, 2, 3), 1e-30 - 2e-30j, np.complex64), "x": operands["x"][:, :66]}
    for o in (operands, tiny):
        y, final = compiled(o, **CHECKED)
        expected, expected_final = truth.values(widened(o))
        np.testing.assert_allclose(y, expected, 1e-4, 1e-4 * np.max(np.abs(expected)))
        np.testing.assert_allclose(final, expected_final, 1e-4, 1e-4 * np.max(np.abs(expected_final)))


@pytest.mark.parametrize("gpu", ["A100", "H100", "RTX 5090"])
def test_sizes_of_gpus(gpu, twin, rng):
    """Each has groups of its own."""
    twin.set_gpu(gpu)
    for case in (Case((), 3, (32, 32, 11)), Case((), 3, (64, 64, 5)), Case((), 3, (64, 2, 5))):
        check_values(case, "float32", rng, **CHECKED)


def test_last_thread_first_changes_nothing(twin, rng):
    """A race would show where threads overtake each other."""
    operands = make_operands(Case((2,), 9, (8, 16, 11), h0=(2,)), "float32", rng)
    first = [np.asarray(v).tobytes() for v in compiled(operands, **CHECKED)]
    twin.set_last_thread_first(True)
    assert [np.asarray(v).tobytes() for v in compiled(operands, **CHECKED)] == first


def test_group_changes_nothing(twin, rng):
    """To the bit: channels do not meet."""
    operands = make_operands(Case((2,), 9, (8, 16, 11), h0=(2,)), "float32", rng)
    first = [np.asarray(v).tobytes() for v in compiled(operands, **CHECKED)]
    for kib in (5, 8, 12, 20):
        twin.set_shared_memory(kib << 10, 2 * (kib + 1) << 10)
        assert [np.asarray(v).tobytes() for v in compiled(operands, **CHECKED)] == first, kib


@pytest.mark.parametrize("chunk", [0, 8])
def test_non_finite_values_stay_in_their_channel_and_move_forward_only(chunk, rng, monkeypatch):
    force_chunks(monkeypatch, chunk)
    case = Case((2,), 19, (4, 8, 11))
    clean = make_operands(case, "float32", rng)
    ct = random_array(rng, clean["x"].shape, "float32")
    reached = np.zeros((2, 19, 11), bool)
    reached[1, 3:, 9] = True
    cotangents = ct, jnp.zeros((2, *case.spectrum), "complex64")
    for bad in (np.nan, np.inf):
        x = clean["x"].copy()
        x[1, 3, 2, 1, 9] = bad
        (y, _), grads = pulled_back({**clean, "x": x}, cotangents, **CHECKED)
        np.testing.assert_array_equal(np.any(~np.isfinite(y), (2, 3)), reached)
        assert np.all(np.isfinite(grads["x"])), "dx does not depend on x"
        np.testing.assert_array_equal(np.any(~np.isfinite(grads["k_hat"]), (0, 1)), np.arange(11) == 9)
        bad_ct = ct.copy()
        bad_ct[1, 3, 2, 1, 9] = bad
        (y, _), grads = pulled_back(clean, (bad_ct, cotangents[1]), **CHECKED)
        assert np.all(np.isfinite(y))
        of_dx = np.zeros_like(reached)
        of_dx[1, :4, 9] = True
        np.testing.assert_array_equal(np.any(~np.isfinite(grads["x"]), (2, 3)), of_dx)


@pytest.mark.parametrize("chunk", [0, 8])
def test_a_reset_ends_a_nan(chunk, rng, monkeypatch):
    """Nothing of the state passes, not even times zero."""
    force_chunks(monkeypatch, chunk)
    operands = make_operands(Case((2,), 20, (4, 8, 3), reset=(2,)), "float32", rng)
    operands["reset"][:] = False
    operands["reset"][1, 12] = True
    operands["x"][:, 3] = np.nan
    y, final = compiled(operands, **CHECKED)
    bad = np.isnan(y).any((2, 3, 4))
    np.testing.assert_array_equal(bad, [[t >= 3 for t in range(20)], [3 <= t < 12 for t in range(20)]])
    assert np.all(np.isfinite(final[1]))


@pytest.mark.parametrize("chunk", [0, 64])
def test_long_memories_keep_single_precision(chunk, rng, monkeypatch):
    """A thousand steps with |k| up to 0.999, to one part in a million."""
    force_chunks(monkeypatch, chunk)
    operands = make_operands(Case((), 1024, (8, 8, 4)), "float32", rng)
    phase = operands["k_hat"] / np.abs(operands["k_hat"])
    operands["k_hat"] = (rng.uniform(0.9, 0.999, phase.shape) * phase).astype("complex64")
    y, final = compiled(operands, **CHECKED)
    for actual, expected in zip((y, final), truth.values(widened(operands))):
        assert np.max(np.abs(actual - expected)) <= 1e-6 * np.max(np.abs(expected))


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    case=any_case().map(cases.fitting),
    reverse=st.booleans(),
    last_only=st.booleans(),
    dtype=st.sampled_from(["float32", "float64", "bfloat16"]),
    seed=st.integers(0, 99),
)
def test_any_shape(case, reverse, last_only, dtype, seed):
    rng = np.random.default_rng(seed)
    options = dict(reverse=reverse, last_only=last_only and case.steps > 0)
    check_values(case, dtype, rng, **CHECKED, **options)
