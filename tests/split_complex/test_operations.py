"""The operations on SplitComplex operands, held to the same operations on complex128."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cssm_kernels
from cssm_kernels import SplitComplex, gated_scan, linear_scan
from tests.matrix.cases import random_array

# Shapes of the operands, real ones marked, and the arguments beside them. Axis 1 is time.
REAL = "real"
CASES = {
    "linear_scan": (((3, 1, 4), (3, 6, 4)), (3, 4), {}),
    "gated_scan": (((1, 6, 4, REAL), (4,), (3, 6, 4), (6, 1, REAL)), (4,), dict(reverse=True)),
    "matrix_scan": (((6, 1, 2, 2), (3, 6, 4, 2)), (3, 4, 2), dict(reset=np.arange(6) == 2)),
    "delta_scan": (((3, 6, 1, REAL), (6, 4), (3, 6, 1, 3), (3, 6, 4, 2), (6, 4, 3, REAL)), (4, 2, 3), {}),
}


def operands_of(operation, dtype, rng):
    """Pairs, or real arrays, then h0."""
    shapes, state, _ = CASES[operation]

    def make(shape):
        z = random_array(rng, [n for n in shape if n != REAL], "complex128") / 2
        return jnp.asarray(z.real).astype(dtype) if REAL in shape else SplitComplex.from_complex(z, dtype)

    return (*map(make, shapes), jnp.asarray(random_array(rng, state, "complex64")))


def call(operation, *operands, **options):
    options = dict(axis=1, return_final=True) | CASES[operation][2] | options
    return getattr(cssm_kernels, operation)(*operands, **options)


def whole(operand):
    """In double precision; h0 too."""
    z = operand.to_complex() if isinstance(operand, SplitComplex) else operand
    return z.astype(jnp.complex128 if jnp.iscomplexobj(z) else jnp.float64)


def assert_rounded(actual, expected, dtype):
    """To the nearest of dtype, but for float32 errors of the state."""
    assert actual.dtype == dtype
    eps = float(jnp.finfo(dtype).eps)
    if not isinstance(actual, SplitComplex):
        return np.testing.assert_allclose(np.asarray(actual).astype(np.complex128), expected, eps / 2, 1e-5)
    for plane, part in ((actual.re, expected.real), (actual.im, expected.imag)):
        np.testing.assert_allclose(np.asarray(plane).astype(np.float64), part, eps / 2, 1e-5)


@pytest.mark.parametrize("operation", CASES)
@pytest.mark.parametrize(("implementation", "dtype"), [(None, "bfloat16"), ("sequential", "float16")])
def test_values_and_gradients(operation, implementation, dtype, rng):
    operands = operands_of(operation, dtype, rng)

    def results(implementation, operands, cotangents):
        y, pull_back = jax.vjp(functools.partial(call, operation, implementation=implementation), *operands)
        return y, pull_back(cotangents)

    y_shape, final_shape = (v.shape for v in jax.eval_shape(functools.partial(call, operation), *operands))
    ct = SplitComplex.from_complex(random_array(rng, y_shape, "complex64"), dtype)
    ct_final = jnp.asarray(random_array(rng, final_shape, "complex64"))
    run = jax.jit(results, static_argnums=0)
    (y, final), gradients = run(implementation, operands, (ct, ct_final))
    exact = tuple(map(whole, operands)), (jnp.conj(whole(ct)), whole(ct_final))
    (true_y, true_final), true_gradients = run("sequential", *exact)
    assert_rounded(y, true_y, dtype)
    assert_rounded(final, true_final, "complex64")
    for gradient, true, operand in zip(gradients, true_gradients, operands):
        is_pair = isinstance(operand, SplitComplex)
        # The real gradients of the parts of a complex number are those of its conjugate.
        assert_rounded(gradient, jnp.conj(true) if is_pair else true, operand.dtype)
        assert is_pair == isinstance(gradient, SplitComplex)


def paired(gradient, direction):
    """The derivative along a direction; JAX pairs complex numbers without a conjugate."""
    return sum(jnp.sum(jnp.real(g * d)) for g, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))


@pytest.mark.parametrize("operation", ["linear_scan", "gated_scan"])
def test_both_modes_to_second_order(operation, rng):
    operands, u, v = (operands_of(operation, "float32", rng) for _ in range(3))

    def loss(*operands):
        y, final = call(operation, *operands)
        return jnp.sum(y.re * y.im) + jnp.sum(jnp.abs(y.to_complex()) ** 2) + jnp.sum(jnp.real(final * final))

    @jax.jit
    def derivatives(u, v):
        gradient = jax.grad(loss, tuple(range(len(operands))))
        along = lambda d: jax.jvp(gradient, operands, d)[1]
        return jax.jvp(loss, operands, u)[1], paired(gradient(*operands), u), paired(along(u), v), paired(along(v), u)

    forward, backward, one, other = derivatives(u, v)
    np.testing.assert_allclose(forward, backward, 1e-4)
    np.testing.assert_allclose(one, other, 1e-4)


def test_a_batch_of_one_plane_alone(rng):
    """The planes of an operand differ in shape then, within the primitives; the other's gradient is summed."""
    a, x, h0 = operands_of("linear_scan", "float32", rng)

    def loss(re, im):
        return jnp.sum(jnp.abs(linear_scan(SplitComplex(re, im), x, h0, axis=1).to_complex()) ** 2)

    def losses(each, re, im):
        return sum(each(loss, (0, None))(re, im))

    one_by_one = lambda f, _: lambda re, im: [f(v, im) for v in re]
    batch = jnp.stack([a.re, -a.re])
    actual, expected = (
        jax.jit(jax.grad(losses, (1, 2)), static_argnums=0)(each, batch, a.im) for each in (jax.vmap, one_by_one)
    )
    jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, 1e-5, 1e-5), actual, expected)


@pytest.mark.parametrize("implementation", [None, "cpu", "xla", "sequential"])
def test_no_steps_returns_the_initial_state(implementation):
    x = SplitComplex.from_complex(jnp.ones((2, 0, 3)))
    h0 = SplitComplex.from_complex(jnp.arange(3) * 1j)
    y, final = linear_scan(0.5, x, h0, axis=1, return_final=True, implementation=implementation)
    assert (y.shape, y.dtype) == ((2, 0, 3), jnp.bfloat16)
    np.testing.assert_array_equal(final, [[0, 1j, 2j]] * 2)


@pytest.fixture(scope="module")
def compiled():
    """Forward and backward, of complex64 and of pairs."""

    def step(a, b, x):
        y, pull_back = jax.vjp(lambda *operands: gated_scan(*operands), a, b, x)
        return y, pull_back(y)

    of = lambda x: jax.jit(step).lower(x, x, x).compile()
    z = jnp.ones((16, 1024), jnp.complex64)
    return of(z), of(SplitComplex.from_complex(z))


def test_half_the_bytes(compiled):
    of_complex, of_pairs = (c.memory_analysis() for c in compiled)
    assert of_pairs.argument_size_in_bytes * 2 == of_complex.argument_size_in_bytes
    assert of_pairs.temp_size_in_bytes < of_pairs.argument_size_in_bytes / 100
    outputs = lambda m: m.output_size_in_bytes
    assert abs(outputs(of_pairs) * 2 - outputs(of_complex)) < 1000  # the table of a tuple


def test_one_native_call_each_way(compiled):
    for program in compiled:
        assert program.as_text().count('custom_call_target="cssm_lane_scan') == 2


def test_exports(rng):
    operands = operands_of("gated_scan", "bfloat16", rng)
    run = jax.jit(functools.partial(call, "gated_scan"))
    program = jax.export.export(run, disabled_checks=cssm_kernels.export_checks())(*operands)
    again = jax.export.deserialize(program.serialize())
    jax.tree.map(np.testing.assert_array_equal, again.call(*operands), run(*operands))
