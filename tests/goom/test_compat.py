"""The published arithmetic and operators, against their formulas written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cssm_kernels
from cssm_kernels.goom import Goom, compat
from tests.compiled import compiled

goom_scan, goom_matrix_scan = map(compiled, (cssm_kernels.goom_scan, cssm_kernels.goom_matrix_scan))

EPS = {np.complex64: 2.0**-23, np.complex128: 2.0**-52}
DTYPES = [np.complex64, np.complex128]


def rtol(dtype):
    return 8 * EPS[np.dtype(dtype).type]


def complex_numbers(rng, dtype, *shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def clamped_inverse(s, g):
    """The published derivative of log."""
    size = np.abs(s)
    return g / np.where(size < 1e-7, 1e-7, s * np.maximum(size, 1e-7) / (size + 1e-10))


def exp_gradient(x, g):
    eps = EPS[x.dtype.type]
    return g * (np.exp(x) + np.where(x.real < 0, -eps, eps))


def log_add_exp(a, b):
    scale = np.maximum(a.real, b.real)
    s = np.exp(a - scale) + np.exp(b - scale)
    return np.log(np.where(np.abs(s) < 1e-7, a.dtype.type(1e-7), s)) + scale


def assert_close(got, want, dtype, factor=1):
    np.testing.assert_allclose(got, want, rtol=factor * rtol(dtype), atol=factor * rtol(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp(rng, dtype):
    x = (10 * complex_numbers(rng, dtype, 50)).astype(dtype)
    g = complex_numbers(rng, dtype, 50)
    y, pull_back = jax.vjp(compat.exp, x)
    np.testing.assert_allclose(y, np.exp(x), rtol=4 * rtol(dtype))
    np.testing.assert_allclose(pull_back(jnp.asarray(g))[0], exp_gradient(x, g), rtol=4 * rtol(dtype))


def test_exp_gradient_of_a_vanishing_number_is_a_machine_epsilon():
    for real, eps in ((-200.0, -(2.0**-23)), (0.0, 1 + 2.0**-23)):
        gradient = jax.grad(lambda x: compat.exp(x).real, holomorphic=False)(jnp.float32(real))
        assert gradient == np.float32(eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log(rng, dtype):
    x = complex_numbers(rng, dtype, 50) * (10.0 ** rng.integers(-12, 5, 50)).astype(np.finfo(dtype).dtype)
    g = complex_numbers(rng, dtype, 50)
    y, pull_back = jax.vjp(compat.log, x)
    assert_close(y, np.log(x), dtype, 4)
    np.testing.assert_allclose(pull_back(jnp.asarray(g))[0], clamped_inverse(x, g), rtol=4 * rtol(dtype))


def test_log_has_a_floor():
    for dtype, floor in ((np.complex64, -174.673), (np.complex128, -1416.793)):
        y = compat.log(jnp.asarray([0, -0.0], dtype))
        np.testing.assert_allclose(y.real, floor, rtol=1e-6)
        np.testing.assert_allclose(y.imag, [0, np.pi], rtol=1e-6)


def test_absolute():
    x = jnp.asarray([-2.0, 0.0, 3.0])
    y, pull_back = jax.vjp(compat.absolute, x)
    np.testing.assert_array_equal(y, [2, 0, 3])
    np.testing.assert_array_equal(pull_back(jnp.asarray([5.0, 7.0, 11.0]))[0], [-5, 7, 11])


def test_to_goom():
    x = jnp.float32([0.0, -0.0, 9e-8, -9e-8, -1e-6, 2.0])
    y = compat.to_goom(x)
    assert y.dtype == np.complex64
    np.testing.assert_allclose(y.real, np.log([1e-7, 1e-7, 1e-7, 1e-7, 1e-6, 2.0]), rtol=1e-6)
    np.testing.assert_allclose(y.imag, [0, 0, 0, 0, np.pi, 0], rtol=1e-6)
    np.testing.assert_allclose(y[0].real, -16.118095, rtol=1e-7)
    gradient = jax.grad(lambda x: compat.to_goom(x).real.sum())(x)
    np.testing.assert_allclose(gradient, [0, 0, 0, 0, -1e6 * (1 + 1e-4), 0.5], rtol=1e-6)


def test_safe_to_goom_and_sign():
    y = compat.safe_to_goom(jnp.float32([-3.0, 1e-9]), 1e-3)
    np.testing.assert_allclose(y, np.log([3.0, 1e-3]), rtol=1e-6)
    np.testing.assert_array_equal(compat.sign(jnp.asarray([0.9j, -0.9j, 1.1j, -3j])), [1, 1, -1, -1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_add_exp(rng, dtype):
    a, b, g = (complex_numbers(rng, dtype, 50) for _ in range(3))
    y, pull_back = jax.vjp(compat.log_add_exp, a, b)
    assert_close(y, log_add_exp(a, b), dtype)
    scale = np.maximum(a.real, b.real)
    ds = clamped_inverse(np.exp(a - scale) + np.exp(b - scale), g)
    for got, part in zip(pull_back(jnp.asarray(g)), (a, b)):
        np.testing.assert_allclose(got, exp_gradient(part - scale, ds), rtol=20 * rtol(dtype))
    np.testing.assert_array_equal(compat.log_sub_exp(a, a), a.real + np.log(dtype(1e-7)))


def test_sums_of_very_negative_numbers_and_of_infinite_ones():
    a = jnp.asarray(-1e4 + 0j)
    np.testing.assert_allclose(compat.log_add_exp(a, a), -1e4 + np.log(2), rtol=1e-15)
    assert np.isnan(compat.log_add_exp(jnp.asarray(-np.inf + 0j), jnp.asarray(-np.inf + 0j)))


def test_exact_cancellation_is_clamped():
    a = jnp.asarray(3 + 0j)
    b = jnp.asarray(3 + np.pi * 1j)
    np.testing.assert_allclose(compat.log_add_exp(a, b), 3 + np.log(1e-7), rtol=1e-15)
    np.testing.assert_array_equal(jax.vjp(compat.log_add_exp, a, b)[1](jnp.asarray(1 + 0j)), [0, 0])


def test_log_sum_exp(rng):
    x = complex_numbers(rng, np.complex128, 4, 5)
    np.testing.assert_allclose(compat.log_sum_exp(x, 1), np.log(np.exp(x).sum(1)), rtol=1e-13)


def test_of_the_type(rng):
    x, y = np.float32([1e-9, -2.0]), np.float32([0.5, 2.0])
    a, b = Goom.from_array(x, compat=True), Goom.from_array(y, compat=True)
    np.testing.assert_array_equal(a.log, compat.to_goom(jnp.asarray(x)))
    np.testing.assert_array_equal(a.to_array(compat=True), compat.from_goom(a.log))
    np.testing.assert_array_equal(a.add(b, compat=True).log, compat.log_add_exp(a.log, b.log))
    np.testing.assert_array_equal(a.subtract(b, compat=True).log, compat.log_sub_exp(a.log, b.log))


def test_it_differentiates_backwards_only():
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(compat.exp, (1.0,), (1.0,))


def reduced(terms):
    """The published sum of a few logarithms."""
    if len(terms) in (2, 3):
        y = log_add_exp(terms[0], terms[1])
        return y if len(terms) == 2 else log_add_exp(y, terms[2])
    terms = np.stack(terms)
    scale = terms.real.max(0)
    s = np.exp(terms - scale).sum(0)
    return np.log(np.where(np.abs(s) < 1e-7, 1e-7, s)) + scale


def published_pair(earlier, later, size):
    """The published operator on two elements."""
    (a_i, u_i), (a_j, u_j) = earlier, later
    if size is None:
        return a_j + a_i, log_add_exp(a_j + u_i, u_j)
    a = np.array([[reduced([a_j[i, m] + a_i[m, n] for m in range(size)]) for n in range(size)] for i in range(size)])
    u = np.array([reduced([a_j[i, m] + u_i[m] for m in range(size)]) for i in range(size)])
    return a, log_add_exp(u, u_j)


@pytest.mark.parametrize("size", [None, 1, 2, 3, 4])
def test_scans_are_the_published_operators_in_the_order_of_associative_scan(rng, size):
    """Of four elements the tree is known: pairs, then the first pair with the third and with the second pair."""
    shape = () if size is None else (size,)
    a, x = complex_numbers(rng, np.complex128, 4, *shape * 2), complex_numbers(rng, np.complex128, 4, *shape)
    a[1] = -1e4  # a finite logarithm of zero
    elements = list(zip(a, x))
    first, second = (published_pair(*elements[i : i + 2], size) for i in (0, 2))
    want = [x[0], first[1], published_pair(first, elements[2], size)[1], published_pair(first, second, size)[1]]
    got = (goom_scan if size is None else goom_matrix_scan)(a, x, compat=True)
    np.testing.assert_allclose(got, np.stack(want), rtol=1e-12, atol=1e-12)


def test_the_transition_of_a_structural_zero_acts_as_1e_7():
    a = compat.to_goom(jnp.asarray([[0.5, 0.0], [0.0, 0.5]]))
    x = compat.to_goom(jnp.asarray([[1.0, 1.0], [1.0, 0.0]]))
    final = goom_matrix_scan(a, x, compat=True)[-1]
    np.testing.assert_allclose(np.exp(final[1]), 0.5 + 1e-7 + 1e-7, rtol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
def test_options_of_the_scans(rng, reverse):
    """Initial states, resets and the final state, by the definition."""
    a, x, h0 = (complex_numbers(rng, np.complex128, *s) for s in ((3, 7), (3, 7), (3,)))
    reset = np.array([0, 0, 1, 0, 0, 1, 0], bool)
    options = dict(axis=1, reset=reset, reverse=reverse, return_final=True)
    for operands in ((a, x, h0), (a[..., None, None], x[..., None], h0[..., None])):
        op = goom_scan if operands[0].ndim == 2 else goom_matrix_scan
        for got, want in zip(op(*operands, compat=True, **options), op(*operands, **options)):
            np.testing.assert_allclose(np.exp(got), np.exp(want), rtol=1e-10)


def test_scan_gradients_are_the_published(rng):
    """Of two steps, written out."""
    a, x, g = (complex_numbers(rng, np.complex128, 2) for _ in range(3))
    da, dx = jax.vjp(lambda a, x: goom_scan(a, x, compat=True), a, x)[1](jnp.asarray(g))
    carried = a[1] + x[0]
    scale = max(carried.real, x[1].real)
    ds = clamped_inverse(np.exp(carried - scale) + np.exp(x[1] - scale), g[1])
    dcarried = exp_gradient(carried - scale, ds)
    np.testing.assert_allclose(da, [0, dcarried], rtol=1e-12)
    np.testing.assert_allclose(dx, [g[0] + dcarried, exp_gradient(x[1] - scale, ds)], rtol=1e-12)
