"""spatial_attn and spatiotemporal_attn, against their formulas."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest
from cssm import MIXERS

from tests.cssm.checks import apply, assert_close, check_streaming, check_truth, initial, jit, random_variables, shapes
from tests.cssm.layers import truth as t

C, HEADS = 4, 2


def layer_norm(params, z):
    mean = z.mean(-1, keepdims=True)
    return (z - mean) / np.sqrt(((z - mean) ** 2).mean(-1, keepdims=True) + 1e-6) * params["scale"] + params["bias"]


def attention(params, name, z):
    """Over the next to last axis of z, one query and one head at a time."""
    q, k, v = np.split(t.dense(params[f"{name}_qkv"], z), 3, -1)
    out, size = np.zeros_like(z), C // HEADS
    for first in range(0, C, size):
        head = slice(first, first + size)
        for i in range(z.shape[-2]):
            weights = np.exp((q[..., [i], head] * k[..., head]).sum(-1) / np.sqrt(size))
            weights /= weights.sum(-1, keepdims=True)
            out[..., i, head] = (weights[..., None] * v[..., head]).sum(-2)
    return t.dense(params[f"{name}_proj"], out)


def block(params, x, temporal):
    z = (x + params["pos_embed"]).reshape(*x.shape[:2], -1, C)
    z = z + params["gamma1"] * attention(params, "attn", layer_norm(params["norm1"], z))
    hidden = t.gelu(t.dense(params["mlp_fc1"], layer_norm(params["norm2"], z)))
    z = z + params["gamma2"] * t.dense(params["mlp_fc2"], hidden)
    if temporal:
        z = z.swapaxes(1, 2)
        z = z + params["gamma_t"] * attention(params, "t_attn", layer_norm(params["norm_t"], z))
        z = z.swapaxes(1, 2)
    return z.reshape(x.shape) - x


def layer(key="spatial_attn", **fields):
    return MIXERS[key](channels=C, num_heads=HEADS, **fields)


@pytest.mark.parametrize(("key", "temporal"), [("spatial_attn", False), ("spatiotemporal_attn", True)])
def test_values_and_gradients(key, temporal, rng):
    check_truth(layer(key, mlp_ratio=1.5), partial(block, temporal=temporal), rng.normal(size=(2, 3, 2, 3, C)))


def test_streaming_over_space_alone(rng):
    check_streaming(layer(), rng.normal(size=(2, 4, 2, 3, C)).astype(np.float32))


def test_no_streaming_over_time(rng):
    with pytest.raises(ValueError, match="cannot be run frame by frame: attention over time reads later frames"):
        layer("spatiotemporal_attn").step(None, np.ones((1, 2, 3, C), np.float32))


def test_whole_branches_are_left_out(rng):
    """With the MLP and gamma1 silenced, what one frame or one pixel gets is nothing, or twice its update."""
    x = rng.normal(size=(4, 1, 2, 1, C)).astype(np.float32)
    noisy = layer(drop_path_rate=0.5)
    variables = random_variables(noisy, x)
    zero = np.zeros_like(variables["params"]["gamma2"])
    variables["params"] |= {"gamma2": zero, "pos_embed": np.zeros_like(variables["params"]["pos_embed"])}
    update = np.asarray(apply(noisy, variables, x))  # no rng: nothing is left out
    rngs = {"dropout": jax.random.key(1)}
    y = np.asarray(apply(noisy, variables, x, rngs=rngs))
    kept = abs(y).max((1, 2, 3, 4)) > 0
    assert 0 < kept.sum() < 4
    assert_close(y, np.where(kept[:, None, None, None, None], 2 * update, 0))
    assert_close(jit(partial(noisy.apply, deterministic=True))(variables, x, rngs=rngs), update)


def test_parameters():
    x = np.ones((1, 2, 3, 5, C), np.float32)
    layers = {name: {f"{name}/kernel": (a, b), f"{name}/bias": (b,)} for name, a, b in _dense()}
    norms = {f"{name}/{leaf}": (C,) for name in ("norm1", "norm2", "norm_t") for leaf in ("scale", "bias")}
    tree = jax.eval_shape(layer("spatiotemporal_attn").init, jax.random.key(0), x)
    assert shapes(tree["params"]) == {
        "pos_embed": (1, 1, 3, 5, C),
        **dict.fromkeys(("gamma1", "gamma2", "gamma_t"), (C,)),
        **{path: shape for entry in layers.values() for path, shape in entry.items()},
        **norms,
    }
    assert (initial(layer(), "gamma1", x) == np.float32(1e-6)).all()
    assert np.isclose(initial(layer(), "pos_embed", np.ones((1, 1, 20, 20, C), np.float32)).std(), 0.02, rtol=0.1)


def _dense():
    yield from ((f"{part}attn_{name}", C, size) for part in ("", "t_") for name, size in (("qkv", 3 * C), ("proj", C)))
    yield from (("mlp_fc1", C, 4 * C), ("mlp_fc2", 4 * C, C))


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"num_heads": 3}, "num_heads: got 3, expected a divisor of channels=4"),
        ({"mlp_ratio": 0.1}, "mlp_ratio: got 0.1, expected at least 1 / channels, 0.25"),
        ({"drop_path_rate": 1.0}, r"drop_path_rate: got 1.0, expected a rate in \[0, 1\)"),
    ],
)
def test_bad_fields(fields, match):
    with pytest.raises(ValueError, match=match):
        jax.eval_shape(layer().clone(**fields).init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))
