"""Values of spectral_scan, in each form, against a loop in complex128."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cssm_kernels import spectral_scan
from tests.fft2.truth import frame_norm
from tests.matrix.cases import REAL, random_array, widened
from tests.spectral_scan import cases, truth
from tests.spectral_scan.cases import EPS, STORED_EPS, Case, compiled, directions, each_implementation, make_operands


def check_values(case, dtype, rng, *, implementation, **options):
    """Each channel's frame is within the rounding of a step-by-step evaluation, in the norm over the frame."""
    operands = make_operands(case, dtype, rng)
    y, final = compiled(operands, implementation=implementation, **options)
    assert y.dtype == dtype
    assert final.dtype == cases.complex_dtype(dtype)
    wide = widened(operands)
    expected, expected_final = truth.values(wide, **options)
    bound, final_bound = truth.error_bounds(wide, EPS[dtype], **options)
    if implementation == "xla":  # a tree of products has no step-by-step bound
        bound, final_bound = (np.maximum(b, 4 * np.max(b, initial=0)) for b in (bound, final_bound))
    # float16 has no numbers between its denormals, at 2^-24.
    pixels = np.sqrt(case.frame[0] * case.frame[1])
    stored = STORED_EPS.get(dtype, 0) * frame_norm(expected) + (2**-24 * pixels if dtype == "float16" else 0)
    assert_frames_within(y, expected, bound + stored)
    assert_frames_within(final, expected_final, final_bound)


def assert_frames_within(actual, expected, bound):
    actual = np.asarray(actual).astype(expected.dtype)
    assert actual.shape == expected.shape
    assert np.all(np.isfinite(actual)), "an element was never written"
    error = frame_norm(actual - expected)
    assert np.all(error <= bound), f"{np.max(error / bound):.2f} of the bound"


@pytest.mark.parametrize("case", cases.ALL, ids=str)
def test_values(case, rng):
    check_values(case, "float32", rng, implementation="cpu")
    check_values(case, "float32", rng, implementation="cpu", reverse=True)


@pytest.mark.parametrize("case", cases.SOME, ids=str)
def test_last_only(case, rng):
    for reverse in (False, True):
        check_values(case, "float32", rng, implementation="cpu", last_only=True, reverse=reverse)


@pytest.mark.parametrize("dtype", [dtype for dtype in REAL if dtype != "float32"])
def test_dtypes(dtype, rng):
    for case in cases.SOME[::2]:
        check_values(case, dtype, rng, implementation="cpu")
        check_values(case, dtype, rng, implementation="cpu", reverse=True, last_only=True)


@each_implementation
@pytest.mark.parametrize("case", cases.FEW, ids=str)
def test_every_form(implementation, case, rng):
    """The default, and the forms that are no kernel of their own but that others are compared with elsewhere."""
    implementation = None if implementation == "cpu" else implementation
    check_values(case, "float64", rng, implementation=implementation)
    check_values(case, "bfloat16", rng, implementation=implementation, reverse=True, last_only=True)


@st.composite
def any_case(draw):
    def broadcast(shape):
        return tuple(n if draw(st.booleans()) else 1 for n in shape)[draw(st.integers(0, len(shape))) :]

    batch = tuple(draw(st.lists(st.integers(0, 3), max_size=2)))
    x_batch, k_batch = broadcast(batch), broadcast(batch)
    full = np.broadcast_shapes(x_batch, k_batch)
    frame = draw(st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([0, 1, 2, 5, 16, 33])))
    flags, start = draw(st.booleans()), draw(st.booleans())
    return Case(
        x_batch,
        draw(st.integers(0, 18)),
        frame,
        k_batch=k_batch,
        h0=broadcast(full) if start else None,
        reset=broadcast(full) if flags else None,
    )


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    case=any_case(),
    reverse=st.booleans(),
    last_only=st.booleans(),
    dtype=st.sampled_from(["float32", "float64", "bfloat16"]),
    seed=st.integers(0, 99),
)
def test_any_shape(case, reverse, last_only, dtype, seed):
    rng = np.random.default_rng(seed)
    options = dict(reverse=reverse, last_only=last_only and case.steps > 0)
    check_values(case, dtype, rng, implementation="cpu", **options)


@directions
def test_last_only_is_the_frame_computed_last(reverse, rng):
    """To the bit: the same states, one inverse transform."""
    operands = make_operands(Case((2,), 9, (5, 6, 3), h0=(2,)), "float32", rng)
    whole, final = compiled(operands, reverse=reverse)
    last, same_final = compiled(operands, reverse=reverse, last_only=True)
    np.testing.assert_array_equal(last, whole[:, 0 if reverse else -1])
    np.testing.assert_array_equal(final, same_final)


@pytest.mark.parametrize("implementation", ["cpu", "sequential"])
@directions
def test_a_sequence_cut_anywhere_carries_on(implementation, reverse, rng):
    """The final state is the whole of the memory; in half precision it is not rounded to the dtype of x."""
    operands = make_operands(Case((2,), 17, (5, 6, 3), h0=(2,), reset=()), "bfloat16", rng)
    options = dict(reverse=reverse, implementation=implementation)
    whole, last = compiled(operands, **options)

    def part(span, h0):
        of_span = {"x": operands["x"][:, span], "reset": operands["reset"][span]}
        return compiled({**operands, **of_span, "h0": h0}, **options)

    for cut in (1, 8, 12) if implementation == "cpu" else (6,):
        early, late = slice(None, cut), slice(cut, None)
        y1, carry = part(late if reverse else early, operands["h0"])
        y2, final = part(early if reverse else late, carry)
        joined = np.concatenate([y2, y1] if reverse else [y1, y2], 1)
        np.testing.assert_allclose(joined.astype(float), np.asarray(whole).astype(float), 1e-2, 1e-2)
        np.testing.assert_allclose(final, last, 1e-5, 1e-5)
        if implementation == "cpu":
            assert joined.tobytes() == np.asarray(whole).tobytes(), "the carry is exact"


@pytest.mark.parametrize("implementation", ["cpu", "sequential"])
def test_long_memories_keep_single_precision(implementation, rng):
    """A thousand steps with |k| up to 0.999, to one part in a million."""
    operands = make_operands(Case((), 1024, (8, 8, 16)), "float32", rng)
    phase = operands["k_hat"] / np.abs(operands["k_hat"])
    operands["k_hat"] = (rng.uniform(0.9, 0.999, phase.shape) * phase).astype("complex64")
    y, final = compiled(operands, implementation=implementation)
    for actual, expected in zip((y, final), truth.values(widened(operands))):
        assert np.max(np.abs(actual - expected)) <= 1e-6 * np.max(np.abs(expected))


@each_implementation
def test_non_finite_values_stay_in_their_channel_and_move_forward_only(implementation, rng):
    """Channels are lanes of one vector and steps share a buffer: neither may leak into another."""
    case = Case((2,), 11, (4, 5, 19))
    clean = make_operands(case, "float32", rng)
    ct = random_array(rng, clean["x"].shape, "float32")
    reached = np.zeros((2, 11, 19), bool)
    reached[1, 3:, 17] = True

    @jax.jit
    def run(operands, ct):
        cotangents = ct, jnp.zeros((2, *case.spectrum), "complex64")
        (y, _), grads = cases.pulled_back(operands, cotangents, implementation=implementation)
        return y, grads

    for bad in (np.nan, np.inf):
        x = clean["x"].copy()
        x[1, 3, 2, 1, 17] = bad
        y, grads = run({**clean, "x": x}, ct)
        np.testing.assert_array_equal(np.any(~np.isfinite(y), (2, 3)), reached)
        assert np.all(np.isfinite(grads["x"])), "dx does not depend on x"
        np.testing.assert_array_equal(np.any(~np.isfinite(grads["k_hat"]), (0, 1)), np.arange(19) == 17)
        bad_ct = ct.copy()
        bad_ct[1, 3, 2, 1, 17] = bad
        y, grads = run(clean, bad_ct)
        assert np.all(np.isfinite(y))
        of_dx = np.zeros_like(reached)
        of_dx[1, :4, 17] = True
        np.testing.assert_array_equal(np.any(~np.isfinite(grads["x"]), (2, 3)), of_dx)


@each_implementation
def test_a_reset_ends_a_nan(implementation, rng):
    """Nothing of the state passes, not even times zero."""
    operands = make_operands(Case((2,), 12, (4, 5, 3), reset=(2,)), "float32", rng)
    operands["reset"][:] = False
    operands["reset"][1, 7] = True
    operands["x"][:, 3] = np.nan
    y, final = compiled(operands, implementation=implementation)
    bad = np.isnan(y).any((2, 3, 4))
    np.testing.assert_array_equal(bad, [[t >= 3 for t in range(12)], [3 <= t < 7 for t in range(12)]])
    assert np.all(np.isfinite(final[1]))


@pytest.mark.parametrize("steps", [1, 19])
def test_frames_that_nothing_comes_before_or_after_are_copied(steps, rng):
    """y_t = x_t at the first step and where there is a reset, dx_t = ct_t before one and at the last step: to the bit."""
    operands = make_operands(Case((2,), steps, (4, 5, 17), reset=(2,)), "float32", rng)
    x, k_hat, reset = (operands[name] for name in ("x", "k_hat", "reset"))
    y, pull = jax.vjp(lambda x, k: spectral_scan(x, k, reset=reset), x, k_hat)
    ct = random_array(rng, x.shape, "float32")
    dx, dk = pull(ct)
    begins = reset.copy()
    begins[:, 0] = True
    ends = np.roll(begins, -1, axis=1)
    for got, source, same in ((y, x, begins), (dx, ct, ends)):
        np.testing.assert_array_equal(np.all(np.equal(got, source), (2, 3, 4)), same)
    assert np.any(dk) == (steps > 1)


def test_same_bits_from_run_to_run(rng):
    """Sums are cut by shape, never by the number of threads that took part."""
    case = Case((6,), 9, (24, 20, 37), h0=(6,))
    operands, cotangents = make_operands(case, "float32", rng), cases.make_cotangents(case, "float32", False, rng)
    run = jax.jit(lambda *o: jax.tree.leaves(cases.pulled_back(*o)))
    first = [np.asarray(v).tobytes() for v in run(operands, cotangents)]
    for _ in range(5):
        assert [np.asarray(v).tobytes() for v in run(operands, cotangents)] == first


@pytest.mark.parametrize("reverse", [False, True])
def test_large_operands_which_pass_the_caches_have_the_same_bits(reverse, rng):
    x = random_array(rng, (6, 17, 32, 48, 64), "float32")
    k_hat = 0.9 * random_array(rng, (32, 25, 64), "complex64")
    scan = jax.jit(lambda x: spectral_scan(x, k_hat, reverse=reverse, implementation="cpu"))
    y = np.asarray(scan(x))
    for i in range(6):
        np.testing.assert_array_equal(y[i], scan(x[i]))
