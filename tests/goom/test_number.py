"""The Goom type: what numbers it stands for, at zero and at the ends of the range as well."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cssm_kernels.goom import Goom, arithmetic

DTYPES = [(np.float32, 1e-6), (np.float64, 1e-14), (np.complex64, 1e-6), (np.complex128, 1e-14)]


def numbers(rng, dtype, size=50):
    z = rng.normal(size=size) * 10.0 ** rng.integers(-8, 8, size)
    if np.issubdtype(dtype, np.complexfloating):
        z = z * np.exp(1j * rng.uniform(-np.pi, np.pi, size))
    return z.astype(dtype)


def assert_close(got, want, rtol):
    assert np.all(np.abs(np.asarray(got) - want) <= rtol * np.abs(want))


@pytest.mark.parametrize("dtype, rtol", DTYPES)
def test_there_and_back(rng, dtype, rtol):
    z = numbers(rng, dtype)
    goom = Goom.from_array(z)
    assert goom.shape == z.shape
    assert goom.ndim == 1
    assert goom.dtype == np.result_type(dtype, np.complex64)
    np.testing.assert_allclose(goom.log_magnitude, np.log(np.abs(z)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(goom.phase, np.angle(z), rtol=1e-5, atol=1e-6)
    assert_close(goom.to_array(), z, 20 * rtol)  # of e^20, whose exponent's rounding counts 20 times


@pytest.mark.parametrize("dtype, rtol", DTYPES)
def test_arithmetic(rng, dtype, rtol):
    x, y = numbers(rng, dtype), numbers(rng, dtype)
    a, b = Goom.from_array(x), Goom.from_array(y)
    assert_close((a * b).to_array(), x * y, 40 * rtol)
    assert_close((a / b).to_array(), x / y, 40 * rtol)
    assert_close((-a).to_array(), -x, 20 * rtol)
    assert_close(abs(a).to_array(), np.abs(x), 20 * rtol)
    bound = 40 * rtol * (np.abs(x) + np.abs(y))
    assert np.all(np.abs((a + b).to_array() - (x + y)) <= bound)
    assert np.all(np.abs((a - b).to_array() - (x - y)) <= bound)
    np.testing.assert_array_equal(a[3:5].log, a.log[3:5])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_of_half_precision(dtype):
    goom = Goom.from_array(jnp.asarray([1.5, -2.0], dtype))
    assert goom.dtype == np.complex64
    np.testing.assert_allclose(goom.to_array(), [1.5, -2.0], rtol=1e-6)


@pytest.mark.parametrize("value", [1, [True], np.arange(3)])
def test_of_integers(value):
    with pytest.raises(TypeError, match="z has dtype"):
        Goom.from_array(value)


def test_an_operand_that_is_no_goom():
    for operation in ("__add__", "__sub__", "__mul__", "__truediv__"):
        with pytest.raises(TypeError):
            getattr(Goom.from_array(1.0), operation)(2.0) + 1
        assert getattr(Goom.from_array(1.0), operation)(2.0) is NotImplemented


def test_zero_keeps_its_sign():
    for part in (np.float32, np.float64):
        goom = Goom.from_array(part([0.0, -0.0]))
        np.testing.assert_array_equal(goom.log_magnitude, [-np.inf, -np.inf])
        np.testing.assert_array_equal(goom.phase, part([0, np.pi]))
        np.testing.assert_array_equal(np.signbit(goom.to_array().real), [False, True])
        np.testing.assert_array_equal((goom * goom).to_array(), [0, 0])


def test_small_numbers_are_not_clamped():
    x = np.float32([1e-37, -1e-37, 1e-20, -1e-9])
    np.testing.assert_allclose(Goom.from_array(x).to_array().real, x, rtol=1e-5)


def test_signed_real_numbers_stay_real():
    x = Goom.from_array(np.float32([1.5, -1.5, -3.0, -1e30]))
    assert not x.to_array().imag.any()
    assert not (x * x).to_array().imag.any()
    np.testing.assert_array_equal((x + -x).log_magnitude, [-np.inf] * 4)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_multiples_of_a_right_angle_are_exact(dtype):
    quarters = np.arange(-9, 10)
    half_pi = np.finfo(dtype).dtype.type(np.pi / 2)
    cos, sin = arithmetic.unit(jnp.asarray(quarters.astype(half_pi.dtype) * half_pi))
    np.testing.assert_array_equal(cos, np.round(np.cos(quarters * np.pi / 2)))
    np.testing.assert_array_equal(sin, np.round(np.sin(quarters * np.pi / 2)))


def test_other_phases():
    phase = np.concatenate([np.linspace(-10, 10, 1001), np.linspace(-1e5, 1e5, 1001)])
    cos, sin = arithmetic.unit(jnp.asarray(phase))
    np.testing.assert_allclose(cos, np.cos(phase), atol=1e-11)
    np.testing.assert_allclose(sin, np.sin(phase), atol=1e-11)
    for phase in (np.inf, -np.inf, np.nan):
        assert np.isnan(arithmetic.unit(jnp.asarray(phase))).all()


def test_beyond_the_range_of_floating_numbers():
    large, small = Goom(jnp.asarray(1e4 + np.pi * 1j)), Goom(jnp.asarray(-1e4 + 0j))
    assert large.to_array().real == -np.inf
    assert large.to_array().imag == 0
    assert small.to_array() == 0
    assert (large * small).to_array() == -1
    np.testing.assert_allclose((large + large).log, 1e4 + np.log(2) + np.pi * 1j, rtol=1e-15)
    assert (large + small).log == large.log
    assert (small + small).log_magnitude == -1e4 + np.log(2)


def test_sums_with_zero_and_infinity():
    zero, one, infinity = (Goom(jnp.asarray(v + 0j)) for v in (-np.inf, 0.0, np.inf))
    assert (zero + zero).log_magnitude == -np.inf
    assert (zero + one).log == 0
    assert (one + zero).log == 0
    assert (zero * one).log_magnitude == -np.inf
    assert (infinity + one).log_magnitude == np.inf
    assert np.isnan((Goom(jnp.asarray(np.nan + 0j)) + one).log_magnitude)


def test_gradients_are_those_of_numbers(rng):
    x, y = rng.normal(size=20), rng.normal(size=20)
    w = jnp.asarray(rng.normal(size=20))

    def through_logs(x, y):
        a, b = Goom.from_array(x), Goom.from_array(y)
        return jnp.sum(w * ((a * b + a - b / a).to_array().real))

    def directly(x, y):
        return jnp.sum(w * (x * y + x - y / x))

    for got, want in zip(jax.grad(through_logs, (0, 1))(x, y), jax.grad(directly, (0, 1))(x, y)):
        np.testing.assert_allclose(got, want, rtol=1e-11)
    for got, want in zip(
        jax.tree.leaves(jax.jit(jax.hessian(through_logs, (0, 1)))(x, y)),
        jax.tree.leaves(jax.jit(jax.hessian(directly, (0, 1)))(x, y)),
    ):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_complex_gradients_are_those_of_numbers(rng):
    x, y, w = (rng.normal(size=20) + 1j * rng.normal(size=20) for _ in range(3))

    def through_logs(x, y):
        return jnp.sum(w * (Goom.from_array(x) * Goom.from_array(y) + Goom.from_array(x)).to_array()).real

    def directly(x, y):
        return jnp.sum(w * (x * y + x)).real

    for got, want in zip(jax.grad(through_logs, (0, 1))(x, y), jax.grad(directly, (0, 1))(x, y)):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    tangents = (y, w)
    for got, want in zip(jax.jvp(through_logs, (x, y), tangents), jax.jvp(directly, (x, y), tangents)):
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_gradients_at_zero():
    def total(x, y):
        return (Goom.from_array(x) + Goom.from_array(y)).to_array().real.sum()

    x, y = np.array([0.0, 0.0, 2.0, -0.0]), np.array([0.0, 3.0, -2.0, 1.0])
    dx, dy = jax.grad(total, (0, 1))(x, y)
    np.testing.assert_array_equal(dx, [0, 0, 0, 0])  # the last sum cancels
    np.testing.assert_allclose(dy, [0, 1, 0, 1], rtol=1e-15)
    for derivative in (jax.grad(lambda x: Goom.from_array(x).log_magnitude.sum()), jax.hessian(lambda x: total(x, y))):
        assert np.isfinite(jax.jit(derivative)(x)).all()


def test_transformations(rng):
    x = rng.normal(size=(4, 3))

    def square(goom):
        return goom * goom

    goom = Goom.from_array(x)
    np.testing.assert_array_equal(jax.jit(square)(goom).log, square(goom).log)
    np.testing.assert_array_equal(jax.vmap(square)(goom).log, square(goom).log)
    _, last = jax.lax.scan(lambda carry, g: (carry * g, carry * g), goom[0], goom)
    np.testing.assert_allclose(last.to_array()[-1].real, x[0] * np.prod(x, 0), rtol=1e-12)
    gradient = jax.grad(lambda goom: jnp.sum(goom.log_magnitude))(goom)
    assert isinstance(gradient, Goom)
    np.testing.assert_array_equal(gradient.log, np.ones((4, 3)))
