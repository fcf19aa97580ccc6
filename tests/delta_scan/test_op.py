"""delta_scan's public face: what it accepts, what it refuses, and the forms of the rule in the literature."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cssm_kernels
from cssm_kernels import gated_scan
from tests import refusal
from tests.compiled import compiled
from tests.matrix.cases import random_array

GATE = np.ones((5, 3), np.float32)
K = np.ones((5, 3, 2), np.float32)
V = np.ones((5, 3, 4), np.float32)
ARGUMENTS = dict(a=GATE, beta=GATE, k=K, v=V, q=K)
delta_scan = compiled(cssm_kernels.delta_scan)
each_implementation = pytest.mark.parametrize("implementation", [None, "cpu", "xla", "sequential"], ids=str)


@refusal.each_refusal(
    [
        (TypeError, r"v has dtype int32; expected one of float32", {**ARGUMENTS, "v": V.astype(np.int32)}),
        (TypeError, r"k is a NoneType; expected an array", {**ARGUMENTS, "k": None}),
        (
            TypeError,
            r"a has dtype float64; expected float32 \(v's dtype\)",
            {**ARGUMENTS, "a": GATE.astype(np.float64)},
        ),
        (
            TypeError,
            r"beta has dtype float64; expected float32 \(v's precision\)",
            {**ARGUMENTS, "v": V.astype(np.complex64), "beta": GATE.astype(np.float64)},
        ),
        (
            TypeError,
            r"q has dtype complex64; expected float32 \(v's dtype\)",
            {**ARGUMENTS, "q": K.astype(np.complex64)},
        ),
        (TypeError, r"h0 has dtype float64; expected float32", {**ARGUMENTS, "h0": np.ones((4, 2))}),
        (TypeError, r"reset has dtype float32; expected bool", {**ARGUMENTS, "reset": GATE[:, 0]}),
        (TypeError, r"axis is 'time'; expected an int", {**ARGUMENTS, "axis": "time"}),
        (TypeError, r"return_final is 0; expected a bool", {**ARGUMENTS, "return_final": 0}),
        (ValueError, r"v has shape \(\); expected \(..., d\) with at least one", {**ARGUMENTS, "v": np.float32(1)}),
        (ValueError, r"k has shape \(5, 3, 0\); expected \(..., d\)", {**ARGUMENTS, "k": K[..., :0]}),
        (ValueError, r"q has shape \(5, 3, 4\); expected \(..., 2\), the components of k", {**ARGUMENTS, "q": V}),
        (
            ValueError,
            r"k has leading dimensions \(4, 3\), which do not broadcast .* \(5, 3\) of v",
            {**ARGUMENTS, "k": K[:4]},
        ),
        (
            ValueError,
            r"beta has shape \(2,\), which does not broadcast .* of v, k, q, a",
            {**ARGUMENTS, "beta": GATE[0, :2]},
        ),
        (ValueError, r"axis is -3, out of range for the shape \(5, 3\)", {**ARGUMENTS, "axis": -3}),
        (
            ValueError,
            r"h0 has shape \(2, 4\); expected one that broadcasts to \(3, 4, 2\)",
            {**ARGUMENTS, "h0": V[0, :2]},
        ),
        (ValueError, r"reset has shape \(5, 2\)", {**ARGUMENTS, "reset": np.ones((5, 2), bool)}),
        (ValueError, r"write_key is None; expected 'conj' or 'plain'", {**ARGUMENTS, "write_key": None}),
        (ValueError, r"implementation is 'cuda'; expected None", {**ARGUMENTS, "implementation": "cuda"}),
    ]
)
def test_refuses(refused, under_jit):
    refusal.check(cssm_kernels.delta_scan, refused, under_jit)


def operands(rng, dtype, steps=9, lanes=3, d_k=4, d_v=2):
    k = random_array(rng, (steps, lanes, d_k), dtype)
    return dict(
        a=rng.uniform(0.5, 1, (steps, lanes)),
        beta=rng.uniform(0.1, 0.9, (steps, lanes)),
        k=k / np.linalg.norm(k, axis=-1, keepdims=True),
        v=random_array(rng, (steps, lanes, d_v), dtype),
        q=random_array(rng, (steps, lanes, d_k), dtype),
    )


@each_implementation
@pytest.mark.parametrize("write_key", ["conj", "plain"])
def test_rows_go_through_the_dense_transition(implementation, write_key, rng):
    """CSSM model specification 2.5: each row of S as a column, by M = a (I - beta k k^H), plus beta v w."""
    o = operands(rng, "complex128")
    S = np.zeros((3, 2, 4), complex)
    expected = np.empty((9, 3, 2), complex)
    for t in range(9):
        for n in range(3):
            a, beta, k, v, q = (o[name][t, n] for name in ("a", "beta", "k", "v", "q"))
            M = a * (np.eye(4) - beta * np.outer(k, k.conj()))
            written = k.conj() if write_key == "conj" else k
            S[n] = np.stack([M @ S[n, row] + beta * v[row] * written for row in range(2)])
            expected[t, n] = S[n] @ q
    actual, final = delta_scan(**o, write_key=write_key, return_final=True, implementation=implementation)
    np.testing.assert_allclose(actual, expected, 1e-10)
    np.testing.assert_allclose(final, S, 1e-10)


@each_implementation
def test_of_real_keys_it_is_the_gated_delta_rule(implementation, rng):
    """S_t = a S_{t-1} (I - beta k k^T) + beta v k^T, with either write key; one value a token for several heads."""
    o = operands(rng, "float64")
    S = np.zeros((3, 2, 4))
    for t in range(9):
        a, beta, k, v, q = (o[name][t] for name in ("a", "beta", "k", "v", "q"))
        erase = np.eye(4) - beta[:, None, None] * k[:, :, None] * k[:, None, :]
        S = a[:, None, None] * S @ erase + beta[:, None, None] * v[:, :, None] * k[:, None, :]
    for write_key in ("conj", "plain"):
        y, final = delta_scan(**o, write_key=write_key, return_final=True, implementation=implementation)
        np.testing.assert_allclose(final, S, 1e-10)
        np.testing.assert_allclose(y[-1], np.einsum("nvk,nk->nv", S, q), 1e-10)


@each_implementation
def test_what_was_written_last_is_read(implementation, rng):
    """With a = beta = 1 a value replaces the one under its key, and other keys at right angles keep theirs."""
    keys = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    values = rng.normal(size=(6, 3))
    written = np.array([0, 1, 2, 0, 3, 1])
    k, q = keys[written][:, None], keys[[0, 0, 1, 0, 2, 1]][:, None]
    o = delta_scan(1.0, 1.0, k, values[:, None], q, implementation=implementation)
    np.testing.assert_allclose(o[:, 0], values[[0, 0, 1, 3, 2, 5]], 1e-10)


@each_implementation
def test_without_erasure_it_is_gated_scan(implementation, rng):
    """Where keys of length zero erase nothing, S decays; where d_k = d_v = 1, all is a product of numbers."""
    o = operands(rng, "complex128", d_k=1, d_v=1)
    k, v, q = (o[name][..., 0] for name in ("k", "v", "q"))
    transition = o["a"] * (1 - o["beta"] * np.abs(k) ** 2)
    expected = gated_scan(transition, o["beta"] * k.conj(), v, q)
    np.testing.assert_allclose(delta_scan(**o, implementation=implementation)[..., 0], expected, 1e-10)
    h0 = random_array(rng, (3, 1, 1), "complex128")
    _, final = delta_scan(**{**o, "k": 0 * o["k"]}, h0=h0, return_final=True, implementation=implementation)
    np.testing.assert_allclose(final, h0 * o["a"].prod(0)[:, None, None], 1e-10)


@each_implementation
def test_real_gates_of_complex_vectors_stay_real(implementation, rng):
    o = operands(rng, "complex128")
    gates, rest = {"a": o.pop("a"), "beta": o.pop("beta")}, o
    gradient = jax.grad(lambda gates: jnp.sum(jnp.abs(delta_scan(**gates, **rest, implementation=implementation)) ** 2))
    as_complex = gradient({name: gate.astype(complex) for name, gate in gates.items()})
    for name, actual in gradient(gates).items():
        assert actual.dtype == np.float64
        np.testing.assert_allclose(actual, as_complex[name].real, 1e-10, 1e-10)


@each_implementation
def test_half_precision_carries_a_float32_state(implementation):
    """Writing 2^-9 at right angles to all that was written, 64 times, adds up."""
    one = jnp.ones((64, 1, 1), jnp.bfloat16)
    _, final = delta_scan(
        1.0, 2.0**-9, one, 2 * one, one, np.ones((1, 1), np.float32), return_final=True, implementation=implementation
    )
    assert final.dtype == jnp.float32
    np.testing.assert_allclose(final, 2 - (1 - 2.0**-9) ** 64, 1e-5)


@each_implementation
def test_no_steps_returns_the_initial_state(implementation):
    k, v = jnp.ones((3, 0, 2)), jnp.ones((3, 0, 4))
    h0 = jnp.arange(8.0).reshape(4, 2)
    o, final = delta_scan(0.5, 0.5, k, v, k, h0, axis=1, return_final=True, implementation=implementation)
    assert o.shape == (3, 0, 4)
    np.testing.assert_array_equal(final, [h0] * 3)
