"""Circular convolution, its recurrence and their gradients, in both forms, against np.roll."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cssm.nn import circular
from cssm.nn.depthwise import DepthwiseConv

from tests.cssm import numpy_layers as reference
from tests.cssm.checks import apply, assert_close, initialise, jit

SHAPES = [((3, 3), (0, 0)), ((3, 4), (1, 2)), ((5, 6), (0, 0)), ((7, 9), (3, 8))]


@pytest.fixture(params=["multiply-adds", "row-products"])
def form(request, monkeypatch):
    monkeypatch.setattr(circular, "MAX_UNROLLED_TAPS", 1000 if request.param == "multiply-adds" else 0)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize(("taps", "offset"), SHAPES)
def test_convolve_and_gradient(taps, offset, rng):
    k, s, g = rng.normal(size=(3, *taps)), rng.normal(size=(2, 3, 5, 6)), rng.normal(size=(2, 3, 5, 6))

    def value_and_pullback(k, s, g):
        y, pullback = jax.vjp(lambda k, s: circular.circular_convolve(k, s, offset), k, s)
        return y, *pullback(g)

    y, dk, ds = jit(value_and_pullback)(*map(np.float32, (k, s, g)))
    assert_close(y, reference.convolve(k, s, offset))
    basis = np.eye(k[0].size).reshape(-1, 1, *taps)  # the map is linear in k: its transpose, tap by tap
    assert_close(dk.reshape(3, -1).T, [(reference.convolve(e, s, offset) * g).sum((0, 2, 3)) for e in basis])
    assert np.isclose(np.vdot(g, reference.convolve(k, s, offset)), np.vdot(ds, s), rtol=1e-4)
    direction = rng.normal(size=s.shape)
    assert np.isclose(np.vdot(g, reference.convolve(k, direction, offset)), np.vdot(ds, direction), rtol=1e-4)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("filter_input", [False, True])
@pytest.mark.parametrize("length", [0, 1, 5])
def test_recurrence_and_gradient(filter_input, length, rng):
    k, offset = rng.normal(size=(3, 3, 4)) / 6, (1, 2)
    x, g = rng.normal(size=(2, length, 2, 3, 5, 6))

    def loop(k, x, convolve=reference.convolve):
        h, states = np.zeros(x.shape[1:]), []
        for x_t in x:
            h = convolve(k, h + x_t, offset) if filter_input else convolve(k, h, offset) + x_t
            states.append(h)
        return np.stack(states) if states else np.zeros_like(x)

    def value_and_pullback(k, x, g):
        h, pullback = jax.vjp(lambda k, x: circular.circular_recurrence(k, x, offset, filter_input=filter_input), k, x)
        return h, *pullback(g)

    h, dk, dx = jit(value_and_pullback)(*map(np.float32, (k, x, g)))
    assert_close(h, loop(k, x))
    direction = rng.normal(size=k.shape), rng.normal(size=x.shape)
    step = 1e-6
    ahead, behind = (np.vdot(g, loop(k + e * direction[0], x + e * direction[1])) for e in (step, -step))
    expected = (ahead - behind) / (2 * step)
    assert np.isclose(np.vdot(dk, direction[0]) + np.vdot(dx, direction[1]), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("form")
def test_nonfinite_input_stays_in_its_channel_and_moves_forward(rng):
    x = rng.normal(size=(4, 1, 2, 5, 6)).astype(np.float32)
    x[2, 0, 1, 3, 3] = np.inf
    for filter_input in (False, True):
        k = np.full((2, 3, 3), 0.05, x.dtype)
        recurrence = jit(circular.circular_recurrence, static_argnums=2, static_argnames="filter_input")
        h = np.asarray(recurrence(k, x, (1, 1), filter_input=filter_input))
        assert np.isfinite(h[:, :, 0]).all()
        assert np.isfinite(h[:2]).all()
        assert not np.isfinite(h[2:, :, 1]).all()


def test_fold_taps():
    taps = jnp.arange(1.0, 6.0)[None]
    np.testing.assert_array_equal(circular.fold_taps(taps, 1, 3, 0), [[1 + 4, 2 + 5, 3]])
    np.testing.assert_array_equal(circular.fold_taps(taps, 1, 7, 2), [[3, 4, 5, 0, 0, 1, 2]])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_depthwise_is_flax_conv(size, rng):
    x = rng.normal(size=(2, 5, 6, 4)).astype(np.float32)
    ours = DepthwiseConv(size)
    flax = nn.Conv(4, (size, size), feature_group_count=4)
    variables = initialise(ours, x)
    jax.tree.map(np.testing.assert_array_equal, variables, initialise(flax, x))
    variables["params"]["bias"] += 0.5
    assert_close(apply(ours, variables, x), apply(flax, variables, x))
    assert_close(apply(ours, variables, x[None])[0], apply(flax, variables, x))
