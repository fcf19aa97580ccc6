"""s4nd and s4nd_full, against their formulas."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest
from cssm import MIXERS

from tests.cssm.checks import (
    apply,
    assert_close,
    check_implementations,
    check_streaming,
    check_truth,
    initial,
    jit,
    random_variables,
    shapes,
)
from tests.cssm.layers import truth as t

C, N = 3, 4
H = N // 2


def diagonal(params, length):
    lam = -np.exp(params["Lambda_log"]) + 1j * params["Lambda_imag"]
    step = np.exp(params["log_Delta"])[:, None]
    b = (params["B_ri"][0] + 1j * params["B_ri"][1]) * step / (1 - step * lam / 2)
    c = params["C_ri"][:, 0] + 1j * params["C_ri"][:, 1]
    a = (1 + step * lam / 2) / (1 - step * lam / 2) + 1e-12
    return np.stack([2 * (c * a**i * b).sum(-1).real for i in range(length)], 1)


def dense_system(params, length):
    a = np.diag(-np.exp(params["Lambda_log"]) + 1j * params["Lambda_im"]) - np.outer(params["P"], params["Q"])
    kernel = np.zeros((C, length))
    for channel, step in enumerate(np.exp(params["log_Delta"])):
        inverse = np.linalg.inv(np.eye(H) - step * a / 2)
        c = params["C_ri"][channel, 0] + 1j * params["C_ri"][channel, 1]
        v = inverse @ (step * params["B"])
        for i in range(length):
            kernel[channel, i] = 2 * (c @ v).real
            v = inverse @ (np.eye(H) + step * a / 2) @ v
    return kernel


def circular(k, x, axis):
    """sum_i k[c, i] x[j - i] along the axis, mod its length."""
    return sum(k[:, i] * np.roll(x, i, axis) for i in range(x.shape[axis]))


def s4nd(params, x, kernel, bidirectional=True):
    k_h, k_w = kernel(params["kH"], x.shape[2]), kernel(params["kW"], x.shape[3])
    y = circular(k_w, circular(k_h, x, 2), 3) + params["D"] * x
    if bidirectional:
        y = y + circular(k_w[:, ::-1], circular(k_h[:, ::-1], x, 2), 3)
    return t.dense(params["out_proj"], y) - x


def layer(key="s4nd", **fields):
    return MIXERS[key](channels=C, d_state=N, **fields)


@pytest.mark.parametrize(
    ("key", "kernel", "bidirectional"),
    [("s4nd", diagonal, True), ("s4nd_full", dense_system, True), ("s4nd", diagonal, False)],
)
def test_values_and_gradients(key, kernel, bidirectional, rng):
    formula = partial(s4nd, kernel=kernel, bidirectional=bidirectional)
    check_truth(layer(key, bidirectional=bidirectional), formula, rng.normal(size=(2, 2, 4, 5, C)), 1e-11)


def test_streaming(rng):
    check_streaming(layer(), rng.normal(size=(2, 4, 4, 5, C)).astype(np.float32))


def test_implementations(rng):
    check_implementations(layer(), rng.normal(size=(2, 2, 4, 6, C)).astype(np.float32))


def test_dropout(rng):
    x = rng.normal(size=(2, 3, 8, 8, C)).astype(np.float32)
    noisy = layer(dropout=0.5, residual=True)
    variables = random_variables(noisy.clone(deterministic=True), x)
    variables["params"]["out_proj"] = {"kernel": np.eye(C, dtype=np.float32), "bias": np.zeros(C, np.float32)}
    expected = jit(partial(noisy.apply, deterministic=True))(variables, x)
    y = apply(noisy, variables, x, rngs={"dropout": jax.random.key(0)})
    dropped = y == 0
    assert 0.4 < dropped.mean() < 0.6
    assert_close(y, np.where(dropped, 0, 2 * expected))


@pytest.mark.parametrize(
    ("key", "own"),
    [
        ("s4nd", {"Lambda_imag": (H,), "B_ri": (2, H)}),
        ("s4nd_full", {"Lambda_im": (H,), "P": (H,), "Q": (H,), "B": (H,)}),
    ],
)
def test_parameters(key, own):
    axis = {"Lambda_log": (H,), **own, "C_ri": (C, 2, H), "log_Delta": (C,)}
    tree = jax.eval_shape(layer(key).init, jax.random.key(0), np.ones((1, 1, 6, 5, C), np.float32))
    assert shapes(tree["params"]) == {
        **{f"{module}/{leaf}": shape for module in ("kH", "kW") for leaf, shape in axis.items()},
        "D": (C,),
        "out_proj/kernel": (C, C),
        "out_proj/bias": (C,),
    }


def test_initial_values():
    x = np.ones((1, 1, 2, 2, C), np.float32)
    full = initial(MIXERS["s4nd_full"](channels=C, d_state=6), "kW", x)
    np.testing.assert_allclose(full["Lambda_log"], np.log([0.5] * 3), rtol=1e-6)
    np.testing.assert_allclose(full["Lambda_im"], [0, np.pi, 2 * np.pi], rtol=1e-6)
    np.testing.assert_allclose(full["P"], np.sqrt([0.5, 1.5, 2.5]), rtol=1e-6)
    np.testing.assert_allclose(full["Q"], np.sqrt([0.5, 1.5, 2.5]), rtol=1e-6)
    np.testing.assert_allclose(full["B"], np.sqrt([1, 3, 5]), rtol=1e-6)
    diagonal = initial(MIXERS["s4nd"](channels=C, d_state=4000), "kH", x)
    assert np.isclose(diagonal["B_ri"].std() * np.sqrt(4000), 1, rtol=0.1)
    assert np.isclose(diagonal["C_ri"].std() * np.sqrt(2000), 1, rtol=0.1)
    assert 6.2 < diagonal["Lambda_imag"].max() < 2 * np.pi


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"d_state": 0}, "d_state: got 0, expected a positive integer"),
        ({"dropout": 1.0}, r"dropout: got 1.0, expected a rate in \[0, 1\)"),
    ],
)
def test_bad_fields(fields, match):
    with pytest.raises(ValueError, match=match):
        jax.eval_shape(layer().clone(**fields).init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))
