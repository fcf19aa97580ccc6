"""matrix_scan's public face: what it accepts, what it refuses, and what it is in simpler cases."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cssm_kernels
from cssm_kernels import linear_scan
from tests import refusal
from tests.compiled import compiled
from tests.matrix.cases import random_array

X = np.ones((5, 3, 2), np.float32)
A = np.ones((5, 3, 2, 2), np.float32)
matrix_scan = compiled(cssm_kernels.matrix_scan)
each_implementation = pytest.mark.parametrize("implementation", [None, "cpu", "xla", "sequential"], ids=str)


@refusal.each_refusal(
    [
        (TypeError, r"x has dtype int32; expected one of float32", dict(A=A, x=X.astype(np.int32))),
        (TypeError, r"A is a NoneType; expected an array", dict(A=None, x=X)),
        (TypeError, r"A has dtype complex64; expected float32 \(x's dtype\)", dict(A=A.astype(np.complex64), x=X)),
        (TypeError, r"h0 has dtype float64; expected float32", dict(A=A, x=X, h0=np.ones(2))),
        (TypeError, r"reset has dtype float32; expected bool", dict(A=A, x=X, reset=X[:, 0, 0])),
        (TypeError, r"axis is None; expected an int", dict(A=A, x=X, axis=None)),
        (TypeError, r"reverse is 'no'; expected a bool", dict(A=A, x=X, reverse="no")),
        (ValueError, r"x has shape \(\); expected \(..., k\) with k from 1 to 16", dict(A=A, x=np.float32(1))),
        (ValueError, r"x has shape \(5, 0\); expected \(..., k\)", dict(A=A, x=X[:, 0, :0])),
        (ValueError, r"x has shape \(5, 17\); .* from 1 to 16", dict(A=A, x=np.ones((5, 17), np.float32))),
        (ValueError, r"A has shape \(5, 3, 2\); expected \(..., 2, 2\)", dict(A=A[..., 0], x=X)),
        (ValueError, r"A has shape \(5, 3, 2, 1\); expected \(..., 2, 2\)", dict(A=A[..., :1], x=X)),
        (
            ValueError,
            r"A has leading dimensions \(4, 3\), which do not broadcast .* \(5, 3\) of x",
            dict(A=A[:4], x=X),
        ),
        (ValueError, r"axis is 2, out of range for the shape \(5, 3\)", dict(A=A, x=X, axis=2)),
        (ValueError, r"h0 has shape \(3,\); expected one that broadcasts to \(3, 2\)", dict(A=A, x=X, h0=X[0, :, 0])),
        (ValueError, r"h0 has shape \(4, 2\); expected", dict(A=A, x=X, h0=X[:4, 0])),
        (ValueError, r"reset has shape \(4,\); expected \(5,\)", dict(A=A, x=X, reset=np.ones(4, bool))),
        (ValueError, r"triangular is 'up'; expected None, 'upper' or 'lower'", dict(A=A, x=X, triangular="up")),
        (ValueError, r"implementation is 'cuda'; expected None", dict(A=A, x=X, implementation="cuda")),
    ]
)
def test_refuses(refused, under_jit):
    refusal.check(cssm_kernels.matrix_scan, refused, under_jit)


@each_implementation
def test_vectors_of_one_component_are_linear_scan(implementation, rng):
    a, x = random_array(rng, (6, 4), "complex128") / 2, random_array(rng, (6, 4), "complex128")
    h = matrix_scan(a[..., None, None], x[..., None], implementation=implementation)
    np.testing.assert_allclose(h[..., 0], linear_scan(a, x), 1e-12)


@each_implementation
@pytest.mark.parametrize("k", [2, 5, 16])
def test_powers_of_a_constant_matrix(implementation, k, rng):
    A, h0 = rng.normal(size=(k, k)) / k, rng.normal(size=k)
    h = matrix_scan(A, np.zeros((9, k)), h0, implementation=implementation)
    for t in range(9):
        np.testing.assert_allclose(h[t], np.linalg.matrix_power(A, t + 1) @ h0, 1e-10)


@pytest.mark.parametrize("triangular", ["upper", "lower"])
@pytest.mark.parametrize(
    "implementation, k", [(None, 2), ("cpu", 2), ("cpu", 3), ("cpu", 6), ("xla", 3), ("sequential", 3)], ids=str
)
def test_entries_outside_the_triangle_are_not_read(implementation, triangular, k, rng):
    """The same as of a full matrix with zeros there, whatever stands there; and no gradient comes to it."""
    inside = {"upper": np.triu, "lower": np.tril}[triangular](np.ones((k, k), bool))
    A, x = random_array(rng, (7, 4, k, k), "float64") / k, random_array(rng, (7, 4, k), "float64")

    def run(A, triangular):
        return matrix_scan(A, x, axis=0, triangular=triangular, implementation=implementation)

    zeros, unread = np.where(inside, A, 0), np.where(inside, A, np.nan)
    np.testing.assert_allclose(run(unread, triangular), run(zeros, None), 1e-12)
    gradients = [jax.grad(lambda A: jnp.sum(run(A, name) ** 2))(A) for A, name in ((unread, triangular), (zeros, None))]
    np.testing.assert_allclose(gradients[0], np.where(inside, gradients[1], 0), 1e-10)


@each_implementation
def test_axes_are_counted_before_the_components(implementation, rng):
    A, x = random_array(rng, (3, 7, 2, 2), "float64") / 2, random_array(rng, (3, 7, 2), "float64")
    run = lambda axis: matrix_scan(A, x, axis=axis, return_final=True, implementation=implementation)
    (h, final), (again, last) = run(1), run(-1)
    np.testing.assert_array_equal(h, again)
    np.testing.assert_array_equal(final, last)
    assert final.shape == (3, 2)


@each_implementation
def test_a_real_matrix_of_complex_vectors_stays_real(implementation, rng):
    A, x = random_array(rng, (6, 3, 2, 2), "float32") / 2, random_array(rng, (6, 3, 2), "complex64")
    gradient = jax.grad(lambda A: jnp.sum(jnp.abs(matrix_scan(A, x, implementation=implementation)) ** 2))
    assert gradient(A).dtype == np.float32
    np.testing.assert_allclose(gradient(A), gradient(A.astype(np.complex64)).real, 1e-4, 1e-4)


@each_implementation
def test_half_precision_carries_a_float32_state(implementation):
    x = jnp.full((64, 2), 2.0**-9, jnp.bfloat16)
    eye, ones = jnp.eye(2, dtype=x.dtype), np.ones(2, np.float32)
    h, final = matrix_scan(eye, x, ones, return_final=True, implementation=implementation)
    assert h.dtype == jnp.bfloat16
    assert final.dtype == jnp.float32
    np.testing.assert_array_equal(final, [1.125] * 2)


@each_implementation
def test_no_steps_returns_the_initial_state(implementation):
    h, final = matrix_scan(
        jnp.eye(2), jnp.ones((3, 0, 2)), jnp.arange(2.0), axis=1, return_final=True, implementation=implementation
    )
    assert h.shape == (3, 0, 2)
    np.testing.assert_array_equal(final, [[0, 1]] * 3)
