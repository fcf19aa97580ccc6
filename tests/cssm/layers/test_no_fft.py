"""no_fft, against its formulas."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from cssm import MIXERS

from tests.cssm.checks import check_implementations, check_streaming, check_truth, initial, shapes
from tests.cssm.layers import truth as t

C = 4


def no_fft(params, x, gate_type="dense", activation=t.softplus):
    m, z = np.split(t.dense(params["in_proj"], x), 2, -1)
    if "short_conv_spatial" in params:
        m = t.depthwise(params["short_conv_spatial"], m)
    if "short_conv_temporal" in params:
        m = t.causal(params["short_conv_temporal"], m)
    m = t.silu(m)
    ctx = t.context(m, timed=False)
    if gate_type == "dense":
        delta, b, c = (t.dense_gate(params[f"{name}_proj"], ctx, x.shape[2:4]) for name in ("delta", "B", "C"))
    else:
        delta, b, c = (np.add(*t.factors(params, f"{name}_proj", ctx)) for name in ("delta", "B", "C"))
    delta = activation(delta)
    states = t.scan(t.sigmoid(params["A_logit"]) ** delta, b * m * delta)
    return t.dense(params["out_proj"], t.rms(states * c, params["rms_scale"]) * t.silu(z)) - x


def layer(**fields):
    return MIXERS["no_fft"](channels=C, **fields)


@pytest.mark.parametrize(
    ("fields", "formula"),
    [
        ({"short_conv_spatial_size": 3}, {}),
        (
            {"gate_type": "factored", "gate_activation": "sigmoid", "short_conv_size": 0},
            {"gate_type": "factored", "activation": lambda z: 2 * t.sigmoid(z)},
        ),
    ],
    ids=["dense", "factored"],
)
def test_values_and_gradients(fields, formula, rng):
    check_truth(layer(**fields), lambda params, x: no_fft(params, x, **formula), rng.normal(size=(2, 4, 4, 5, C)))


def test_streaming(rng):
    check_streaming(layer(gate_type="factored"), rng.normal(size=(2, 5, 4, 5, C)).astype(np.float32))


def test_implementations(rng):
    check_implementations(layer(), rng.normal(size=(2, 4, 4, 6, C)).astype(np.float32))


def test_parameters():
    x = np.ones((1, 1, 6, 5, C), np.float32)
    tree = jax.eval_shape(layer(gate_type="factored").init, jax.random.key(0), x)
    assert shapes(tree["params"]) == {
        "in_proj/kernel": (4, 8),
        "in_proj/bias": (8,),
        "short_conv_temporal/kernel": (4, 1, 4),
        "short_conv_temporal/bias": (4,),
        "A_logit": (4,),
        **{f"{g}_proj_h/{leaf}": shape for g in ("delta", "B", "C") for leaf, shape in _dense(6)},
        **{f"{g}_proj_w/{leaf}": shape for g in ("delta", "B", "C") for leaf, shape in _dense(5)},
        "rms_scale": (4,),
        "out_proj/kernel": (4, 4),
        "out_proj/bias": (4,),
    }
    assert (initial(layer(), "A_logit", x) == 2).all()
    assert (initial(layer(), "rms_scale", x) == 1).all()


def _dense(features):
    return ("kernel", (C, features)), ("bias", (features,))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"gate_type": "channel"}, "gate_type: got 'channel', expected one of dense, factored"),
        ({"gate_activation": "exp"}, "gate_activation: got 'exp', expected one of softplus, sigmoid"),
        ({"short_conv_spatial_size": -1}, "short_conv_spatial_size: got -1"),
    ],
)
def test_bad_fields(fields, match):
    with pytest.raises(ValueError, match=match):
        jax.eval_shape(layer(**fields).init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))
