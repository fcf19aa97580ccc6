"""gated_scan's public face: what it accepts, what it refuses, and what it is made of."""

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

X = np.ones((5, 3), np.float32)
GATES = dict(a=X, b=X, x=X)
gated_scan = compiled(cssm_kernels.gated_scan)
each_implementation = pytest.mark.parametrize("implementation", [None, "cpu", "xla", "sequential"], ids=str)


@refusal.each_refusal(
    [
        (TypeError, r"x has dtype int32; expected one of float32", {**GATES, "x": X.astype(np.int32)}),
        (TypeError, r"a is a NoneType; expected an array", {**GATES, "a": None}),
        (TypeError, r"b is a NoneType; expected an array", {**GATES, "b": None}),
        (TypeError, r"c is a str; expected an array", {**GATES, "c": "gate"}),
        (TypeError, r"b has dtype complex64; expected float32 \(x's dtype\)", {**GATES, "b": X.astype(np.complex64)}),
        (
            TypeError,
            r"c has dtype float64; expected float32 \(x's precision\)",
            {**GATES, "x": X.astype(np.complex64), "c": X.astype(np.float64)},
        ),
        (TypeError, r"h0 has dtype float64; expected float32 \(the dtype of the state\)", {**GATES, "h0": np.ones(3)}),
        (TypeError, r"reset has dtype float32; expected bool", {**GATES, "reset": X[:, 0]}),
        (TypeError, r"axis is 0.5; expected an int", {**GATES, "axis": 0.5}),
        (TypeError, r"state_axis is '1'; expected an int", {**GATES, "state_axis": "1"}),
        (TypeError, r"reverse is 1; expected a bool", {**GATES, "reverse": 1}),
        (TypeError, r"return_final is None; expected a bool", {**GATES, "return_final": None}),
        (ValueError, r"b has shape \(4, 3\), which does not broadcast .* \(5, 3\) of x, a", {**GATES, "b": X[:4]}),
        (ValueError, r"c has shape \(2,\), which does not broadcast .* of x, a, b", {**GATES, "c": X[0, :2]}),
        (ValueError, r"axis is 2, out of range for the shape \(5, 3\)", {**GATES, "axis": 2}),
        (ValueError, r"state_axis is -3, out of range", {**GATES, "state_axis": -3}),
        (ValueError, r"state_axis is 0, which is the time axis", {**GATES, "axis": -2, "state_axis": 0}),
        (
            ValueError,
            r"h0 has shape \(4,\); expected one that broadcasts to \(3,\)",
            {**GATES, "h0": X[0, :1].repeat(4)},
        ),
        (ValueError, r"reset has shape \(4,\); expected \(5,\)", {**GATES, "reset": np.ones(4, bool)}),
        (ValueError, r"reset has shape \(5, 3\); .* \(5, 1\)", {**GATES, "reset": X > 0, "state_axis": 1}),
        (ValueError, r"implementation is 'cuda'; expected None", {**GATES, "implementation": "cuda"}),
    ]
)
def test_refuses(refused, under_jit):
    refusal.check(cssm_kernels.gated_scan, refused, under_jit)


@each_implementation
def test_without_gates_on_input_and_output_it_is_linear_scan(implementation, rng):
    a, x = random_array(rng, (6, 4), "float64") / 2, random_array(rng, (6, 4), "float64")
    actual = gated_scan(a, 1.0, x, return_final=True, implementation=implementation)
    for u, v in zip(actual, linear_scan(a, x, return_final=True)):
        np.testing.assert_allclose(u, v, 1e-12)


@each_implementation
@pytest.mark.parametrize("state_axis", [0, 1, 3, -1])
def test_states_are_summed(implementation, state_axis, rng):
    """As without `state_axis`, and the sum taken afterwards; the final state is that of every one."""
    shape = (3, 2, 7, 5)
    a, b, c = (random_array(rng, shape, "complex128") / 2 for _ in range(3))
    x, h0 = random_array(rng, shape, "complex128"), random_array(rng, (3, 2, 5), "complex128")
    run = lambda **options: gated_scan(
        a, b, x, c, h0, axis=2, return_final=True, implementation=implementation, **options
    )
    (y, final), (each, last) = run(state_axis=state_axis), run()
    np.testing.assert_allclose(y, each.sum(state_axis), 1e-12)
    np.testing.assert_allclose(final, last, 1e-12)


@each_implementation
def test_states_of_one_channel(implementation, rng):
    """Mamba-2's form: N states of each channel, with the input gate B_t, the output gate C_t and the decay of a head."""
    batch, steps, channels, states = 2, 9, 3, 4
    a = rng.uniform(0.2, 1, (batch, steps, channels))
    B, C = (rng.normal(size=(batch, steps, states)) for _ in range(2))
    x = rng.normal(size=(batch, steps, channels))
    h, expected = np.zeros((batch, channels, states)), np.empty_like(x)
    for t in range(steps):
        h = a[:, t, :, None] * h + x[:, t, :, None] * B[:, t, None, :]
        expected[:, t] = (h * C[:, t, None, :]).sum(-1)
    y, final = gated_scan(
        a[..., None],
        B[:, :, None],
        x[..., None],
        C[:, :, None],
        axis=1,
        state_axis=3,
        return_final=True,
        implementation=implementation,
    )
    np.testing.assert_allclose(y, expected, 1e-12)
    np.testing.assert_allclose(final, h, 1e-12)


@each_implementation
def test_a_real_gate_of_complex_inputs_stays_real(implementation, rng):
    x = random_array(rng, (6, 4), "complex64")
    gates = {name: random_array(rng, (6, 4), "float32") for name in ("a", "b", "c")}
    gradient = jax.grad(lambda gates: jnp.sum(jnp.abs(gated_scan(**gates, x=x, implementation=implementation)) ** 2))
    as_complex = {name: gate.astype(np.complex64) for name, gate in gates.items()}
    for name, actual in gradient(gates).items():
        assert actual.dtype == np.float32
        np.testing.assert_allclose(actual, gradient(as_complex)[name].real, 1e-3, 1e-3)


def test_numbers_and_narrower_gates_take_the_precision_of_x():
    x = np.ones((4, 2), np.complex128)
    y = gated_scan(0.5, np.float32(2), x, jnp.bfloat16(3), 4)
    assert y.dtype == np.complex128
    np.testing.assert_array_equal(y[:, 0], 3 * np.array([4, 4, 4, 4]))


@each_implementation
def test_half_precision_carries_a_float32_state(implementation):
    """1 + 2^-9 is lost to bfloat16 at every step, and kept by the state; b x is not rounded to it either."""
    x = jnp.full((64, 1), 1 + 2.0**-7, jnp.bfloat16)
    y, final = gated_scan(1.0, 2.0**-9, x, 0.5, 1.0, return_final=True, implementation=implementation)
    assert y.dtype == jnp.bfloat16
    assert final.dtype == jnp.float32
    assert float(final[0]) == 1 + (1 + 2.0**-7) / 8
    assert float(y[-1, 0]) == 0.5625


@each_implementation
def test_no_steps_returns_the_initial_state(implementation):
    x = jnp.ones((2, 0, 3))
    y, final = gated_scan(
        0.5, 1.0, x, None, jnp.arange(3.0), axis=1, state_axis=2, return_final=True, implementation=implementation
    )
    assert y.shape == (2, 0)
    np.testing.assert_array_equal(final, [[0, 1, 2]] * 2)


@each_implementation
def test_gates_that_vary_where_the_input_does_not(implementation, rng):
    """The result has every lane that any operand has; each gradient has its operand's."""
    shapes = dict(a=(3, 1, 1), b=(4, 1), x=(), c=(2,))
    operands = {name: random_array(rng, shape, "float64") / 2 for name, shape in shapes.items()}
    run = lambda operands: gated_scan(**operands, axis=1, implementation=implementation)
    full = {name: np.broadcast_to(v, (3, 4, 2)) for name, v in operands.items()}
    np.testing.assert_allclose(run(operands), run(full), 1e-12)
    narrow, wide = (jax.grad(lambda o: jnp.sum(run(o) ** 2))(o) for o in (operands, full))
    for name, shape in shapes.items():
        gathered = tuple(d for d in range(3) if d < 3 - len(shape) or shape[d - 3 + len(shape)] == 1)
        np.testing.assert_allclose(narrow[name], wide[name].sum(gathered).reshape(shape), 1e-10)
