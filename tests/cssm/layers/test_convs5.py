"""convs5, against its formula."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from cssm import MIXERS

from tests.cssm.checks import check_implementations, check_streaming, check_truth, initial, shapes
from tests.cssm.layers import truth as t

C, N = 3, 2


def convs5(params, x):
    step = np.exp(params["log_Delta"])
    states = []
    for c in range(C):
        for n in range(N):
            lam = -np.exp(params["a_log"][n]) + 1j * params["a_imag"][n]
            taps = {
                name: {"kernel": params[name]["kernel"][..., [c * N + n]], "bias": params[name]["bias"][c * N + n]}
                for name in ("B_conv", "C_conv")
            }
            b, read = (t.depthwise(taps[name], x[..., [c]]) for name in ("B_conv", "C_conv"))
            states.append(2 * (t.scan(np.exp(step[c] * lam), b.astype(complex)) * read).real)
    y = np.concatenate([sum(states[c * N : (c + 1) * N]) for c in range(C)], -1)
    return t.dense(params["out_proj"], y) - x


def layer(**fields):
    return MIXERS["convs5"](channels=C, state_dim=N, **fields)


def test_values_and_gradients(rng):
    check_truth(layer(), convs5, rng.normal(size=(2, 4, 3, 6, C)))


def test_streaming(rng):
    check_streaming(layer(), rng.normal(size=(2, 4, 4, 5, C)).astype(np.float32))


def test_implementations(rng):
    check_implementations(layer(), rng.normal(size=(2, 4, 4, 6, C)).astype(np.float32))


def test_parameters():
    x = np.ones((1, 1, 6, 5, C), np.float32)
    assert shapes(jax.eval_shape(layer(kernel_size=5).init, jax.random.key(0), x)["params"]) == {
        "a_log": (N,),
        "a_imag": (N,),
        "log_Delta": (C,),
        **{f"{name}/kernel": (5, 5, 1, C * N) for name in ("B_conv", "C_conv")},
        **{f"{name}/bias": (C * N,) for name in ("B_conv", "C_conv")},
        "out_proj/kernel": (C, C),
        "out_proj/bias": (C,),
    }
    assert np.allclose(initial(layer(), "a_log", x), np.log(0.5))
    phase = initial(layer().clone(state_dim=500), "a_imag", x)
    assert 0 <= phase.min() < 0.2
    assert 6.1 < phase.max() < 2 * np.pi
    step = initial(layer().clone(channels=500), "log_Delta", np.ones((1, 1, 3, 3, 500), np.float32))
    assert np.log(1e-3) <= step.min() < np.log(1.1e-3)
    assert np.log(0.9e-1) < step.max() < np.log(1e-1)


def test_bad_state_dim():
    with pytest.raises(ValueError, match="state_dim: got 0, expected a positive integer"):
        jax.eval_shape(layer().clone(state_dim=0).init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))


def test_groups_are_never_made():
    with pytest.warns(UserWarning, match="num_groups=2 has no effect"):
        jax.eval_shape(layer(num_groups=2).init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))
