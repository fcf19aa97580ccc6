"""Values of the two transforms against sums over explicit DFT matrices."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cssm_kernels import irfft2_cl, rfft2_cl
from tests.fft2 import truth
from tests.matrix.cases import COMPLEX, REAL, random_array

EPS = {"float32": 2**-24, "bfloat16": 2**-24, "float16": 2**-24, "float64": 2**-53}
EPS |= {"complex64": 2**-24, "complex128": 2**-53}
SPECTRUM = {"float64": "complex128"}
# Each size twice, once along each axis: four kinds of factors and a prime.
SIZES = [(56, 64), (64, 97), (97, 128), (128, 224), (224, 56)]

each_implementation = pytest.mark.parametrize("implementation", [None, "cpu", "xla"])


def check_forward(shape, dtype, implementation, rng):
    """The error of each channel's frame is a small share of its spectrum's norm."""
    x = random_array(rng, shape, dtype)
    actual = jax.jit(lambda x: rfft2_cl(x, implementation=implementation))(x)
    expected = truth.rfft2(x.astype(np.float64))
    assert actual.dtype == SPECTRUM.get(dtype, "complex64")
    share = truth.rounding(*shape[-3:-1], EPS[dtype])
    assert_frames_within(actual, expected, share * truth.frame_norm(expected))


def check_inverse(shape, dtype, implementation, rng):
    """Any spectrum, Hermitian or not; the norm is that of the whole one, its dropped imaginary parts included."""
    *batch, height, width, channels = shape
    x_hat = random_array(rng, (*batch, height, width // 2 + 1, channels), dtype)
    actual = jax.jit(lambda x_hat: irfft2_cl(x_hat, width, implementation=implementation))(x_hat)
    expected = truth.irfft2(x_hat.astype(np.complex128), width)
    assert actual.dtype == ("float64" if dtype == "complex128" else "float32")
    norm = truth.frame_norm(x_hat, truth.column_weights(width)) / np.sqrt(height * width)
    assert_frames_within(actual, expected, truth.rounding(height, width, EPS[dtype]) * norm)


def assert_frames_within(actual, expected, bound):
    actual = np.asarray(actual)
    assert actual.shape == expected.shape
    assert np.all(np.isfinite(actual)), "an element was never written"
    error = truth.frame_norm(actual.astype(expected.dtype) - expected)
    assert np.all(error <= bound), f"{np.max(error / bound):.2f} of the bound"


@each_implementation
@pytest.mark.parametrize("height, width", SIZES)
def test_sizes_of_real_frames(implementation, height, width, rng):
    check_forward((2, height, width, 5), "float32", implementation, rng)
    check_inverse((2, height, width, 5), "complex64", implementation, rng)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("shape", [(3, 12, 15, 17), (97, 64, 2), (2, 1, 7, 6, 33)], ids=str)
def test_forward_of_each_dtype(dtype, shape, rng):
    check_forward(shape, dtype, "cpu", rng)


@pytest.mark.parametrize("dtype", COMPLEX)
@pytest.mark.parametrize("shape", [(3, 12, 15, 17), (97, 64, 2), (2, 1, 7, 6, 33)], ids=str)
def test_inverse_of_each_dtype(dtype, shape, rng):
    check_inverse(shape, dtype, "cpu", rng)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    batch=st.lists(st.integers(1, 3), max_size=2),
    frame=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20)),
    dtype=st.sampled_from(REAL),
    seed=st.integers(0, 99),
)
def test_any_shape(batch, frame, dtype, seed):
    rng = np.random.default_rng(seed)
    check_forward((*batch, *frame), dtype, "cpu", rng)
    check_inverse((*batch, *frame), SPECTRUM.get(dtype, "complex64"), "cpu", rng)


@each_implementation
@pytest.mark.parametrize("width", [1, 2, 5, 6])
def test_the_inverse_goes_axis_by_axis(implementation, width, rng):
    """A purely imaginary constant column at f = 0 or W/2 is dropped; one that stands for two columns is not."""
    for f in range(width // 2 + 1):
        x_hat = np.zeros((4, width // 2 + 1, 3), np.complex64)
        x_hat[0, f] = 1j
        y = irfft2_cl(x_hat, width, implementation=implementation)
        is_dropped = f == 0 or 2 * f == width
        np.testing.assert_array_equal(np.any(y, (0, 1)), [not is_dropped] * 3)


@each_implementation
@pytest.mark.parametrize("shape", [(0, 6, 5, 3), (2, 6, 5, 0), (6, 5, 0), (2, 0, 3, 4, 2)], ids=str)
def test_nothing_to_do(implementation, shape):
    *batch, height, width, channels = shape
    spectrum = (*batch, height, width // 2 + 1, channels)
    x_hat = rfft2_cl(np.zeros(shape, np.float32), implementation=implementation)
    assert (x_hat.shape, x_hat.dtype) == (spectrum, "complex64")
    x = irfft2_cl(np.zeros(spectrum, np.complex64), width, implementation=implementation)
    assert (x.shape, x.dtype) == (shape, "float32")


@each_implementation
def test_a_nan_stays_in_its_frame_and_channel(implementation, rng):
    """Channels are the lanes of one vector and rows are transformed in pairs: neither may leak into another transform."""
    for height, width in ((6, 8), (7, 5), (11, 13)):
        x = random_array(rng, (3, height, width, 21), "float32")
        x[1, 2, 3, 17] = np.nan
        x_hat = random_array(rng, (3, height, width // 2 + 1, 21), "complex64")
        x_hat[1, 2, 1, 17] = np.nan
        expected = np.zeros((3, 21), bool)
        expected[1, 17] = True
        for out in (
            rfft2_cl(x, implementation=implementation),
            irfft2_cl(x_hat, width, implementation=implementation),
        ):
            np.testing.assert_array_equal(np.isnan(out).any((1, 2)), expected)


def test_same_bits_from_run_to_run(rng):
    """Whatever the number of threads that took part."""
    x = random_array(rng, (9, 48, 40, 37), "float32")
    run = jax.jit(lambda x: (rfft2_cl(x), irfft2_cl(rfft2_cl(x) * (1 + 0.5j), 40)))
    first = [np.asarray(v).tobytes() for v in run(x)]
    for _ in range(5):
        assert [np.asarray(v).tobytes() for v in run(x)] == first


@pytest.mark.parametrize("channels", [64, 40])
def test_large_results_which_pass_the_caches_have_the_same_bits(channels, rng):
    forward = jax.jit(lambda x: rfft2_cl(x, implementation="cpu"))
    inverse = jax.jit(lambda x_hat: irfft2_cl(x_hat, 48, implementation="cpu"))
    x = random_array(rng, (100, 32, 48, channels), "float32")
    x_hat = np.asarray(forward(x))
    frames = np.asarray(inverse(x_hat))
    for i in range(0, 100, 9):
        np.testing.assert_array_equal(x_hat[i], forward(x[i]))
        np.testing.assert_array_equal(frames[i], inverse(x_hat[i]))
