"""coupled_scan: the native form against loops, and its derivatives against those of plain JAX."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cssm_kernels import SplitComplex, coupled_scan

jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def operands(rng, k, kind=complex):
    """G, K, x, b, c, h0 of lanes (2, 5, 3, 20), time second: gates shared by the last dimension, kernels by time."""

    def normal(*shape):
        return 0.5 * (rng.normal(size=shape) + (1j * rng.normal(size=shape) if kind is complex else 0))

    gates = [rng.normal(size=(2, 5, 3, 1, k)) for _ in range(2)]
    matrices = rng.normal(size=(2, 5, 3, 1, k, k)), normal(3, 20, k, k)
    return [*matrices, normal(2, 5, 3, 20, k), *gates, normal(2, 3, 20, k)]


def loop(G, K, x, b, c, h0, reset, reverse):
    h, y = h0, np.zeros_like(x)
    for t in range(x.shape[1])[:: -1 if reverse else 1]:
        h = np.where(reset[:, t, None, None, None], 0, h)
        h = ((G[:, t] * K) @ h[..., None])[..., 0] + b[:, t] * x[:, t]
        y[:, t] = c[:, t] * h
    return y, h


@pytest.mark.parametrize(
    ("k", "kind", "reverse"), [(2, complex, True), (3, complex, False), (5, complex, True), (3, float, False)]
)
def test_values_and_gradients(k, kind, reverse, rng):
    args, reset = operands(rng, k, kind), rng.random((2, 5)) < 0.3
    run = partial(coupled_scan, axis=1, reverse=reverse, reset=reset, return_final=True)
    outs = jit(run)(*args)
    for actual, expected in zip(outs, loop(*args, reset, reverse)):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    cotangents = [np.cos(out) for out in outs]

    def gradients(implementation):
        one = partial(run, implementation=implementation)
        return jit(lambda *args: jax.vjp(one, *args)[1](tuple(cotangents)))(*args)

    for actual, expected in zip(gradients("cpu"), gradients("sequential")):
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def test_gates_may_be_absent_and_batched(rng):
    """Without b and c; and under vmap over the kernels alone, whose gradient then has the batch, and G's its sum."""
    G, K, x, *_ = (np.asarray(v, np.complex64 if np.iscomplexobj(v) else np.float32) for v in operands(rng, 3))
    kernels = np.stack([K, 0.5 * K])

    def loss(G, kernels, implementation):
        run = jax.vmap(lambda K: coupled_scan(G, K, x, axis=1, implementation=implementation))
        return jnp.sum(jnp.abs(run(kernels)) ** 2)

    results = [
        jit(jax.value_and_grad(partial(loss, implementation=which), (0, 1)))(G, kernels) for which in ("cpu", "xla")
    ]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-3), *results)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"G": np.ones((2, 2), np.complex64)}, TypeError, "G has dtype complex64; expected float32"),
        ({"K": np.ones((2, 3), np.float32)}, ValueError, r"K has shape \(2, 3\); expected \(..., 2, 2\)"),
        ({"b": np.ones(3, np.float32)}, ValueError, r"b has shape \(3,\); expected \(..., 2\)"),
        ({"x": np.ones((4, 17), np.float32)}, ValueError, "x has shape .* with k from 1 to 16"),
        ({"K": SplitComplex(*np.ones((2, 2, 2), np.float32))}, TypeError, "K is a SplitComplex; expected an array"),
        ({"implementation": "cuda"}, ValueError, "implementation is 'cuda'"),
    ],
)
def test_errors(change, error, match):
    ones = np.ones((2, 2), np.float32)
    with pytest.raises(error, match=match):
        coupled_scan(**({"G": ones, "K": ones, "x": np.ones((4, 2), np.complex64)} | change))
