"""gdn_seq and mamba2_seq, against their formulas."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from cssm import MIXERS

from tests.cssm.checks import check_implementations, check_streaming, check_truth, shapes
from tests.cssm.layers import truth as t

C = 4


def tokens(x, mode):
    batch, length, height, width, channels = x.shape
    return x.reshape((batch * length, height * width, channels) if mode == "per_frame" else (batch, -1, channels))


def gdn_seq(params, x, mode="temporal_spatial", d=2):
    u = tokens(x, mode)
    q, k, v = np.split(t.dense(params["qkv_proj"], u), 3, -1)
    q, k, v = (t.silu(t.causal(params[f"short_conv_{name}"], z)) for name, z in zip("qkv", (q, k, v)))
    q, k, v = (z.reshape(*z.shape[:2], C // d, d) for z in (q, k, v))
    k = k / np.sqrt((k**2).sum(-1, keepdims=True) + 1e-6)
    ctx = u.mean(1)
    alpha, beta = t.bounded(t.dense(params["alpha"], ctx)), t.sigmoid(t.dense(params["beta"], ctx))
    o = np.zeros_like(v)
    for b, h in np.ndindex(len(u), C // d):
        S = np.zeros((d, d))
        for i in range(u.shape[1]):
            key = k[b, i, h]
            M = alpha[b, h] * (np.eye(d) - beta[b, h] * np.outer(key, key))
            S = S @ M + beta[b, h] * np.outer(v[b, i, h], key)
            o[b, i, h] = S @ q[b, i, h]
    y = t.rms(o.reshape(u.shape), params["rms_scale"]) * t.silu(t.dense(params["gate_proj"], u))
    return t.dense(params["output_proj"], y).reshape(x.shape) - x


def mamba2_seq(params, x, mode="temporal_spatial"):
    m, z = np.split(t.dense(params["in_proj"], tokens(x, mode)), 2, -1)
    m = t.silu(t.causal(params["short_conv"], m))
    delta = t.softplus(t.dense(params["dt_proj"], m))[..., None]
    b, c = (t.dense(params[f"{name}_proj"], m)[:, :, None] for name in "BC")
    decay = np.exp(np.maximum(-np.exp(params["A_log"])[:, None] * delta, -20))
    y = (c * t.scan(decay, m[..., None] * delta * b)).sum(-1)
    y = t.dense(params["out_proj"], t.rms(y, params["rms_scale"]) * t.silu(z))
    return y.reshape(x.shape) - x


TRUTHS = {"gdn_seq": gdn_seq, "mamba2_seq": mamba2_seq}


def layer(key, **fields):
    return MIXERS[key](channels=C, **fields)


@pytest.mark.parametrize("mode", ["temporal_spatial", "per_frame"])
@pytest.mark.parametrize("key", TRUTHS)
def test_values_and_gradients(key, mode, rng):
    module = layer(key, flatten_mode=mode, **({"state_dim": 3} if key == "mamba2_seq" else {}))
    check_truth(module, lambda params, x: TRUTHS[key](params, x, mode), rng.normal(size=(2, 2, 3, 4, C)))


@pytest.mark.parametrize("mode", ["temporal_spatial", "per_frame"])
def test_streaming(mode, rng):
    check_streaming(layer("mamba2_seq", flatten_mode=mode), rng.normal(size=(2, 4, 2, 3, C)).astype(np.float32))


@pytest.mark.parametrize("key", TRUTHS)
def test_implementations(key, rng):
    check_implementations(layer(key), rng.normal(size=(1, 2, 3, 4, C)).astype(np.float32))


def test_gdn_seq_is_not_causal():
    with pytest.raises(ValueError, match="GDNSeqCSSM cannot be run frame by frame: its gates come of the mean"):
        layer("gdn_seq").apply({}, None, np.ones((1, 2, 3, C), np.float32), method="step")


def test_parameters():
    x = np.ones((1, 2, 2, 3, C), np.float32)
    tree = jax.eval_shape(layer("mamba2_seq", state_dim=3).init, jax.random.key(0), x)["params"]
    dense = {"in_proj": (4, 16), "dt_proj": (8, 8), "B_proj": (8, 3), "C_proj": (8, 3), "out_proj": (8, 4)}
    assert shapes(tree) == {
        **{f"{name}/kernel": shape for name, shape in dense.items()},
        **{f"{name}/bias": shape[1:] for name, shape in dense.items()},
        "short_conv/kernel": (4, 1, 8),
        "short_conv/bias": (8,),
        "A_log": (8,),
        "rms_scale": (8,),
    }


@pytest.mark.parametrize(
    ("key", "fields", "match"),
    [
        ("gdn_seq", {"delta_key_dim": 3}, "delta_key_dim: got 3, expected a divisor of channels=4"),
        ("gdn_seq", {"flatten_mode": "spatial"}, "flatten_mode: got 'spatial', expected one of temporal_spatial"),
        ("gdn_seq", {"short_conv_size": -1}, "short_conv_size: got -1"),
        ("mamba2_seq", {"flatten_mode": "spatial"}, "flatten_mode: got 'spatial', expected one of temporal_spatial"),
        ("mamba2_seq", {"state_dim": 0}, "state_dim: got 0, expected a number >= 1"),
    ],
)
def test_bad_fields(key, fields, match):
    with pytest.raises(ValueError, match=match):
        jax.eval_shape(layer(key, **fields).init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))
