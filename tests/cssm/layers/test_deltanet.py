"""deltanet and its matrix forms, against their formulas."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from cssm import MIXERS

from tests.cssm.checks import check_implementations, check_streaming, check_truth, shapes
from tests.cssm.layers import truth as t

C = 4
TABLE = 1e-7  # the frames' sinusoidal table is float32 in float64 layers too


def gate(params, name, x, kind, signal=False):
    """(B, T, H, F, .) or what broadcasts to it; (B, T, H, W, C) of `channel` signals."""
    ctx = t.context(x, timed=True)
    bins = (x.shape[2], x.shape[3] // 2 + 1)
    if kind == "low_rank":
        return t.dense_gate(params[f"{name}_up"], t.dense(params[f"{name}_down"], ctx), bins)
    if kind == "spectral_conv":
        return t.convolved(params[name], abs(t.spectrum(x)))
    if signal and kind == "channel":
        return x @ params[name]["kernel"][0, 0] + params[name]["bias"]
    if kind == "dense_io":
        kind = "dense" if signal else "channel"
    return t.gate(params, name, ctx, kind, *bins)


def deltanet(params, x, kind="dense", d=0, textbook=False):
    height, width = x.shape[2:4]
    x = t.turned(x)
    q, k, v = np.split(t.dense(params["qkv_proj"], x), 3, -1)
    alpha, beta = t.bounded(gate(params, "alpha", x, kind)), t.sigmoid(gate(params, "beta", x, kind))
    in_space = kind == "channel"
    b_k, b_v = (1, 1) if d else (t.sigmoid(gate(params, name, x, kind, signal=True)) for name in ("B_k", "B_v"))
    if in_space:
        k, v, b_k, b_v = k * b_k, v * b_v, 1, 1
    q, k, v = t.frame_norm(t.spectrum(q)), t.frame_norm(t.spectrum(k) * b_k), t.spectrum(v) * b_v
    kappa = t.transition(params["kernel"], height, width)
    if d:
        q, k, v = (z.reshape(*z.shape[:4], C // d, d) for z in (q, k, v))
        k = k / np.sqrt((abs(k) ** 2).sum(-1, keepdims=True) + 1e-6)
        o = t.delta_rule(alpha * kappa, beta, k, v, q, textbook).reshape(*q.shape[:4], C)
    else:
        a = alpha * kappa * (1 - beta * abs(k) ** 2)
        o = q * t.scan(0.999 * a / (1 + abs(a)), beta * v * k.conj())
    c = t.sigmoid(gate(params, "C_gate", x, kind, signal=True))
    y = t.space(o, width) * c if in_space else t.space(o * c, width)
    return t.dense(params["mat_deltanet_output_proj" if d else "output_proj"], y)


CASES = {
    **{kind: ("deltanet", {}, {"kind": kind}) for kind in ("channel", "dense", "factored", "low_rank")},
    "matrix": ("deltanet_d2", {}, {"kind": "channel", "d": 2}),
    "matrix-dense_io": ("deltanet_d2", {"textbook_delta": True}, {"kind": "dense_io", "d": 2, "textbook": True}),
    "matrix-spectral_conv": ("deltanet_d2", {}, {"kind": "spectral_conv", "d": 2}),
}


def layer(key="deltanet", **fields):
    return MIXERS[key](channels=C, kernel_size=3, **fields)


@pytest.mark.parametrize(("key", "fields", "formula"), CASES.values(), ids=CASES)
def test_values_and_gradients(key, fields, formula, rng):
    x = rng.normal(size=(1, 3, 4, 3, C))
    module = layer(key, rope_mode="temporal", gate_type=formula["kind"], **fields)
    check_truth(module, lambda params, x: deltanet(params, x, **formula), x, TABLE)


def test_streaming(rng):
    check_streaming(layer(gate_type="scalar", rope_mode="mrope"), rng.normal(size=(2, 5, 4, 5, C)).astype(np.float32))


def test_implementations(rng):
    check_implementations(layer(gate_type="factored"), rng.normal(size=(2, 4, 4, 6, C)).astype(np.float32))


@pytest.mark.parametrize(("key", "heads", "inputs"), [("deltanet", 4, ("B_k", "B_v")), ("deltanet_d2", 2, ())])
def test_parameters(key, heads, inputs):
    tree = jax.eval_shape(layer(key).init, jax.random.key(0), np.ones((1, 2, 4, 6, C), np.float32))["params"]
    projection = "output_proj" if inputs else "mat_deltanet_output_proj"
    dense = {"qkv_proj": 12, "alpha": heads, "beta": heads, projection: 4}
    spatial = (*inputs, "C_gate")
    assert shapes(tree) == {
        "kernel": (heads, 3, 3),
        **{f"{name}/kernel": (4, features) for name, features in dense.items()},
        **{f"{name}/kernel": (1, 1, 4, 4) for name in spatial},
        **{f"{name}/bias": (features,) for name, features in (dense | dict.fromkeys(spatial, 4)).items()},
    }


@pytest.mark.parametrize("gate_type", ["conv", "dense_decay"])
@pytest.mark.parametrize("key", ["deltanet", "deltanet_d2"])
def test_gate_types_that_never_worked(key, gate_type):
    with pytest.raises(
        ValueError, match=f"gate_type: got '{gate_type}', expected one of dense, scalar, channel, dense_io"
    ):
        jax.eval_shape(layer(key, gate_type=gate_type).init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))
