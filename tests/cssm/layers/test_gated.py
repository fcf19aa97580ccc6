"""gated, against its formulas."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from cssm import MIXERS

from tests.cssm.checks import check_implementations, check_streaming, check_truth, shapes
from tests.cssm.layers import truth as t

C = 4


def gated(params, x, gate_type="dense", activation=t.softplus):
    m, z = np.split(t.dense(params["in_proj"], x), 2, -1)
    if "short_conv_spatial" in params:
        m = t.depthwise(params["short_conv_spatial"], m)
    if "short_conv_temporal" in params:
        m = t.causal(params["short_conv_temporal"], m)
    m = t.silu(m)
    height, width = x.shape[2:4]
    ctx = t.context(m, timed=False)
    gates = {}
    for name in ("delta", "B", "C"):
        if gate_type == "dense":
            gates[name] = t.dense_gate(params[f"{name}_proj"], ctx, (height, width // 2 + 1))
        else:
            gates[name] = np.multiply(*t.factors(params, f"{name}_proj", ctx))
    delta = activation(gates["delta"])
    kappa = t.transition(params["kernel"], height, width)
    h = t.scan(np.exp(-delta) * kappa, (delta + 1e-8) * gates["B"] * t.spectrum(m))
    return t.dense(params["out_proj"], t.space(h * gates["C"], width) * t.silu(z))


CASES = {
    "dense": ({}, {}),
    "factored": ({"gate_type": "factored"}, {"gate_type": "factored"}),
    "1x1": (
        {"gate_type": "factored", "short_conv_spatial_size": 0, "short_conv_size": 0, "gate_activation": "sigmoid"},
        {"gate_type": "factored", "activation": lambda z: 2 * t.sigmoid(z)},
    ),
    "exp": ({"gate_activation": "exp"}, {"activation": lambda z: np.exp(np.clip(z, -4, 2))}),
}


def layer(**fields):
    return MIXERS["gated"](channels=C, kernel_size=3, **fields)


@pytest.mark.parametrize(("fields", "formula"), CASES.values(), ids=CASES)
def test_values_and_gradients(fields, formula, rng):
    check_truth(layer(**fields), lambda params, x: gated(params, x, **formula), rng.normal(size=(2, 4, 4, 5, C)))


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (1, 3, 2, 6)])
def test_kernel_larger_than_the_image_and_one_frame(shape, rng):
    check_truth(layer(), gated, rng.normal(size=(*shape, C)))


def test_streaming(rng):
    check_streaming(layer(gate_type="factored", rope_mode="mrope"), rng.normal(size=(2, 5, 4, 5, C)).astype(np.float32))


def test_implementations(rng):
    check_implementations(layer(rope_mode="temporal"), rng.normal(size=(2, 4, 4, 6, C)).astype(np.float32))


def test_parameters():
    tree = jax.eval_shape(layer(gate_type="factored").init, jax.random.key(0), np.ones((1, 2, 6, 5, C), np.float32))
    assert shapes(tree["params"]) == {
        "in_proj/kernel": (4, 8),
        "in_proj/bias": (8,),
        "short_conv_spatial/kernel": (3, 3, 1, 4),
        "short_conv_spatial/bias": (4,),
        "short_conv_temporal/kernel": (4, 1, 4),
        "short_conv_temporal/bias": (4,),
        "kernel": (4, 3, 3),
        **{f"{g}_proj_h/{leaf}": shape for g in ("delta", "B", "C") for leaf, shape in _dense(6)},
        **{f"{g}_proj_w/{leaf}": shape for g in ("delta", "B", "C") for leaf, shape in _dense(3)},
        "out_proj/kernel": (4, 4),
        "out_proj/bias": (4,),
    }


def _dense(features):
    return ("kernel", (C, features)), ("bias", (features,))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"gate_type": "channel"}, "gate_type: got 'channel', expected one of dense, factored"),
        ({"gate_activation": "tanh"}, "gate_activation: got 'tanh', expected one of softplus, sigmoid, exp"),
        ({"short_conv_size": -1}, "short_conv_size: got -1"),
        ({"spectral_rho": 2.0}, r"spectral_rho: got 2.0, expected a number in \(0, 1\]"),
        ({"rope_mode": "learned_t"}, "mode: got 'learned_t', expected one of spatiotemporal"),
    ],
)
def test_bad_fields(fields, match):
    with pytest.raises(ValueError, match=match):
        jax.eval_shape(layer(**fields).init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))
