"""Derivatives of goom_scan and goom_matrix_scan, against those of the recurrence in linear space in double precision: of the
associative scans, which the shared matrix leaves out, and where numbers are 0 or out of range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cssm_kernels import Goom, goom_matrix_scan, goom_scan

IMPLEMENTATIONS = ["cpu", "xla", "sequential"]
STEPS, K = 4, 2


def numbers(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


def linear(a, x, h0, reset=None, reverse=False):
    """The states, of numbers or of vectors under matrices, as differentiable numbers."""
    h, out = h0, [None] * len(x)
    for t in range(len(x))[:: -1 if reverse else 1]:
        h = jnp.einsum("...ij,...j->...i", a[t], h) if a.ndim > x.ndim else a[t] * h
        h = x[t] + (h if reset is None else jnp.where(reset[t], 0, h))
        out[t] = h
    return jnp.stack(out), h


def of_logs(function):
    """A function of logarithms, from one of numbers."""
    return lambda *operands: jax.tree.map(jnp.log, function(*map(jnp.exp, operands)))


def problem(rng, kind):
    """(the operation, logarithms)"""
    if kind == "numbers":
        return goom_scan, [jnp.log(numbers(rng, *s)) for s in ((STEPS, 3), (STEPS, 3), (3,))]
    return goom_matrix_scan, [jnp.log(numbers(rng, *s)) for s in ((STEPS, 3, K, K), (STEPS, 3, K), (3, K))]


def scalar_of(function, weights):
    def scalar(*operands):
        return sum(jnp.sum(w * out).real for w, out in zip(weights, function(*operands)))

    return scalar


def pair(op, **options):
    return lambda *operands: op(*operands, return_final=True, **options)


def assert_trees_close(got, want, tolerance=1e-9):
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want)):
        assert g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance * np.abs(w).max())


@pytest.mark.parametrize("kind, reverse", [("numbers", True), ("vectors", False)])
def test_gradients(rng, kind, reverse):
    op, operands = problem(rng, kind)
    reset = np.array([0, 0, 1, 0], bool)
    states, final = linear(*map(jnp.exp, operands), reset, reverse)
    weights = numbers(rng, *states.shape), numbers(rng, *final.shape)
    got = scalar_of(pair(op, reset=reset, reverse=reverse, implementation="xla"), weights)
    want = scalar_of(of_logs(lambda *o: linear(*o, reset, reverse)), weights)
    assert_trees_close(*(jax.jit(jax.grad(f, (0, 1, 2)))(*operands) for f in (got, want)))
    tangents = [numbers(rng, *o.shape) for o in operands]
    assert_trees_close(*(jax.jit(lambda *o, f=f: jax.jvp(f, o, tuple(tangents)))(*operands) for f in (got, want)))


def test_second_order(rng):
    """Forward over reverse and reverse over reverse."""
    op, operands = problem(rng, "numbers")
    weights = [numbers(rng, *o.shape) for o in linear(*map(jnp.exp, operands))]
    tangents = tuple(numbers(rng, *o.shape) for o in operands)

    def second(function):
        gradient = jax.grad(scalar_of(function, weights), (0, 1, 2))

        def along(*operands):
            return sum(jnp.sum(t * g).real for t, g in zip(tangents, gradient(*operands)))

        return jax.jit(lambda *o: (jax.jvp(gradient, o, tangents)[1], jax.grad(along, (0, 1, 2))(*o)))(*operands)

    assert_trees_close(second(pair(op, implementation="xla")), second(of_logs(linear)))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_through_gooms_of_numbers(rng, implementation):
    """Numbers in and out, zeros among them: no gradient comes from those, all others are those of linear space."""
    a, x = numbers(rng, STEPS, 3), numbers(rng, STEPS, 3)
    a[2, 1] = x[0, 2] = x[3, 0] = 0
    weights = numbers(rng, STEPS, 3)

    def through_logs(a, x):
        h = goom_scan(Goom.from_array(a), Goom.from_array(x), implementation=implementation)
        return jnp.sum(weights * h.to_array()).real

    def directly(a, x):
        return jnp.sum(weights * linear(a, x, jnp.zeros(3))[0]).real

    got, want = (jax.jit(jax.grad(f, (0, 1)))(a, x) for f in (through_logs, directly))
    for g, w, operand in zip(got, want, (a, x)):
        np.testing.assert_allclose(g, np.where(operand == 0, 0, w), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("kind", ["numbers", "vectors"])
def test_a_state_that_is_exactly_zero_passes_no_gradient(implementation, kind):
    a, x = np.array([5.0, 2.0, 3.0, 1.0]), np.array([1.5, -3.0, 2.0, 0.0])  # 1.5, 0, 2, 2
    op = goom_scan if kind == "numbers" else goom_matrix_scan
    shape = [(), ()] if kind == "numbers" else [(1, 1), (1,)]

    def total(a, x):
        h = op(
            Goom.from_array(a.reshape(-1, *shape[0])),
            Goom.from_array(x.reshape(-1, *shape[1])),
            implementation=implementation,
        )
        return h.to_array().real.sum()

    da, dx = jax.jit(jax.grad(total, (0, 1)))(a, x)
    np.testing.assert_allclose(da, [0, 0, 0, 2], atol=1e-15)
    np.testing.assert_allclose(dx, [1, 0, 2, 0], atol=1e-15)
    hessian = jax.jit(jax.hessian(lambda a: total(a, x)))(a)
    assert np.isfinite(hessian).all()


def test_gradients_far_out_of_the_range_of_numbers(rng):
    """Of e^(+-3,454): the same as of the rescaled problem, whose states are near 1."""
    steps = 500
    log_a, log_x = jnp.log(numbers(rng, steps) * np.exp(0.5)), jnp.log(numbers(rng, steps))
    weights = numbers(rng, steps)
    gradients = jax.jit(jax.grad(lambda *o: jnp.sum(weights * goom_scan(*o)).real, (0, 1)))
    want = gradients(log_a, log_x)
    growth = np.log(1e3) * np.arange(steps)
    for sign in (1, -1):
        got = gradients(log_a + sign * np.log(1e3), log_x + sign * growth)
        assert_trees_close(got, want, 1e-8)
