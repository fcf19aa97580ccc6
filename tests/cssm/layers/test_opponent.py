"""linear, linear_opponent, opponent and kqv_product, against their formulas."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from cssm import MIXERS

from tests.cssm.checks import apply, check_streaming, check_truth, initial, random_variables
from tests.cssm.layers import truth as t
from tests.cssm.layers.test_coupled import TABLE, C, read, tree


def linear(params, x):
    a = np.clip(params["decay"], 0.1, 0.99) * t.transition(params["kernel"], *x.shape[2:4])
    return t.space(t.scan(a, t.spectrum(x)), x.shape[3])


def opponent(params, x, bounded=False):
    height, width = x.shape[2:4]
    ctx = t.context(x, timed=False)
    raw = {
        name: t.dense_gate(params[f"{name}_gate"], ctx, (height, width // 2 + 1))
        for name in ("alpha", "delta", "mu", "gamma", "B", "C")
    }
    gate = {name: t.sigmoid(z) for name, z in raw.items()}
    excite, inhibit = (t.transition(params[name], height, width) for name in ("k_exc", "k_inh"))
    d = np.clip(params["decay"], 0.1, 0.99)
    alpha, delta, mu, gamma = d * gate["alpha"], d * gate["delta"], gate["mu"], gate["gamma"]
    if bounded:
        mu, gamma = mu * (0.999 - alpha), gamma * (0.999 - delta)
    u = gate["B"] * t.spectrum(x)
    u = np.stack([u, np.zeros_like(u)], -1)
    rows = [np.stack(np.broadcast_arrays(*row), -1) for row in ([alpha, -mu * inhibit], [gamma * excite, delta])]
    states = t.matrix_scan(np.stack(rows, -2), u)
    return read(params, states if "output_proj" in params else states[..., :1], raw["C"], width)


def kqv(params, x):
    """Step by step, from the true states."""
    height, width = x.shape[2:4]
    ctx = t.context(x, timed=True)
    raw = {
        name: t.dense_gate(params[name], ctx, (height, width // 2 + 1))
        for name in ("d_K", "d_Q", "d_V", "B_K", "B_Q", "B_V", "C_gate")
    }
    kappa = t.transition(params["kernel"], height, width)
    u = [
        t.sigmoid(raw[f"B_{s}"]) * part
        for s, part in zip("KQV", np.split(t.spectrum(t.dense(params["kqv_proj"], x)), 3, -1))
    ]
    d = [t.bounded(raw[f"d_{s}"]) for s in "KQV"]
    k, q, v = (part[:, 0] for part in u)
    values = [v]
    for i in range(1, x.shape[1]):
        v = d[2][:, i] * v + k * q * u[2][:, i]
        k, q = (d[s][:, i] * kappa * state + u[s][:, i] for s, state in enumerate((k, q)))
        values.append(v)
    return t.dense(params["output_proj"], t.space(t.sigmoid(raw["C_gate"]) * np.stack(values, 1), width))


TRUTHS = {
    "linear": linear,
    "linear_opponent": opponent,
    "opponent": partial(opponent, bounded=True),
    "kqv_product": kqv,
}


def layer(key, **fields):
    return MIXERS[key](channels=C, kernel_size=3, **fields)


@pytest.mark.parametrize("key", TRUTHS)
def test_values_and_gradients(key, rng):
    check_truth(layer(key), TRUTHS[key], rng.normal(size=(1, 3, 4, 5, C)), TABLE)


@pytest.mark.parametrize("key", ["linear", "opponent", "kqv_product"])
def test_streaming(key, rng):
    check_streaming(layer(key, rope_mode="temporal"), rng.normal(size=(1, 4, 4, 4, C)).astype(np.float32))


def test_bounded_couplings_keep_the_state_bounded(rng):
    """The least stable gates and kernels there are: without the bound, 1.4 to the power of T."""
    x = rng.normal(size=(1, 512, 2, 2, 2)).astype(np.float32)
    bounded = MIXERS["opponent"](channels=2, kernel_size=1)
    variables = random_variables(bounded, x)
    params = variables["params"]
    for name in ("alpha", "delta", "mu", "gamma"):
        params[f"{name}_gate"]["bias"] = np.full_like(params[f"{name}_gate"]["bias"], 20.0)
    params |= {"decay": np.ones(2, np.float32)} | dict.fromkeys(("k_exc", "k_inh"), np.full((2, 1, 1), 1e4, np.float32))
    assert np.abs(apply(bounded, variables, x)).max() < 1e3
    assert not np.abs(apply(bounded.clone(bounded=False), variables, x)).max() < 1e30


def test_parameters():
    gates = [f"{name}_gate" for name in ("alpha", "delta", "mu", "gamma", "B", "C")]
    bins = {f"{name}/{leaf}": shape for name in gates for leaf, shape in (("kernel", (4, 18)), ("bias", (18,)))}
    opponent = bins | {"k_exc": (4, 3, 3), "k_inh": (4, 3, 3), "decay": (4,)}
    assert tree("linear") == {"kernel": (4, 3, 3), "decay": (4,)}
    assert tree("linear_opponent") == opponent
    assert tree("opponent") == opponent | {"output_proj/kernel": (8, 4), "output_proj/bias": (4,)}
    decay = initial(layer("linear"), "decay", np.ones((1, 1, 2, 2, C), np.float32))
    np.testing.assert_array_equal(decay, np.full(4, 0.9, np.float32))
