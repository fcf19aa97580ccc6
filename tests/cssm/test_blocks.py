"""The blocks that stand alone: RecurrentBlock on (B, T, D), VideoBlock on (B, T, H, W, C)."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cssm import RecurrentBlock, VideoBlock

from tests.cssm.checks import (
    apply,
    assert_close,
    check_truth,
    initialise,
    jit,
    random_variables,
    shapes,
    value_and_gradient,
)
from tests.cssm.layers import truth as t


def recurrent(params, x):
    g, u = np.split(t.dense(params["in_proj"], x), 2, -1)
    v = t.causal(params["conv"], u) if "conv" in params else u
    a = np.exp(-8 * t.softplus(params["decay"]) * t.sigmoid(t.dense(params["recurrence_gate"], v)))
    h = t.scan(a, np.sqrt(1 - a**2) * t.sigmoid(t.dense(params["input_gate"], v)) * v)
    return t.dense(params["out_proj"], t.gelu(g) * h)


@pytest.mark.parametrize("fields", [{}, {"expand": 2, "conv_size": 0}], ids=["default", "wide"])
def test_recurrent_block(fields, rng):
    check_truth(RecurrentBlock(**fields), recurrent, rng.normal(size=(2, 6, 3)))


def check_steps(block, x):
    variables = random_variables(block, x)
    whole = np.asarray(apply(block, variables, x))
    step = jit(partial(block.apply, method="step"))
    state = None
    for i in range(x.shape[1]):
        state, y = step(variables, state, x[:, i])
        assert_close(y, whole[:, i])


def test_recurrent_block_by_steps(rng):
    check_steps(RecurrentBlock(), rng.normal(size=(2, 5, 4)).astype(np.float32))


def test_gradient_where_the_gate_is_shut(rng):
    block = RecurrentBlock()
    x = rng.normal(size=(1, 3, 4)).astype(np.float32)
    variables = random_variables(block, x)
    variables["params"]["recurrence_gate"]["bias"] -= 200
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(value_and_gradient(block, variables, x)))


def test_decays_at_first():
    block = RecurrentBlock()
    decay = initialise(block, jnp.ones((1, 2, 256)))["params"]["decay"]
    a = np.exp(-8 * t.softplus(np.asarray(decay, np.float64)))
    assert 0.9 < a.min() < 0.91
    assert 0.99 < a.max() < 0.9991


@pytest.mark.parametrize("cssm_type", ["no_gate", "gated"])
def test_video_block(cssm_type, rng):
    """Without its mixer's output it is the MLP's residual; by steps it is the whole."""
    x = rng.normal(size=(2, 4, 4, 5, 4)).astype(np.float32)
    block = VideoBlock(cssm_type=cssm_type, mixer_options={"kernel_size": 3})
    check_steps(block, x)
    variables = random_variables(block, x)
    out = variables["params"]["mixer"]["out_proj"]
    still = jax.tree.map(np.zeros_like, out)
    still = {"params": {**variables["params"], "mixer": {**variables["params"]["mixer"], "out_proj": still}}}
    p = variables["params"]
    z = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * p["norm2"]["scale"] + p["norm2"][
        "bias"
    ]
    expected = x + t.dense(p["mlp"]["fc2"], t.gelu(t.dense(p["mlp"]["fc1"], z)))
    assert_close(apply(block, still, x), expected, 1e-4)
    assert np.abs(np.asarray(apply(block, variables, x)) - expected).max() > 1e-2


def test_video_block_of_a_mixer_that_cannot_stream(rng):
    block = VideoBlock(cssm_type="no_gate_realspace_par", mixer_options={"kernel_size": 3})
    x = rng.normal(size=(1, 3, 4, 4, 4)).astype(np.float32)
    variables = random_variables(block, x)
    with pytest.raises(ValueError, match="cssm_type: 'no_gate_realspace_par' cannot be run frame by frame"):
        block.apply(variables, None, x[:, 0], method="step")


def test_dtypes(rng):
    block = VideoBlock(mixer_options={"kernel_size": 3}, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)
    x = jnp.asarray(rng.normal(size=(1, 3, 4, 4, 4)), jnp.bfloat16)
    variables = jax.eval_shape(block.init, jax.random.key(0), x)
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(variables))
    assert jax.eval_shape(block.apply, variables, x).dtype == jnp.bfloat16
    assert shapes(variables["params"])["mixer/kernel"] == (4, 3, 3)


@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (jnp.ones((2, 3)), ValueError, r"x: got shape \(2, 3\), expected \(B, T, D\)"),
        (jnp.ones((2, 3, 4), int), TypeError, "x: got dtype int"),
    ],
)
def test_bad_input(x, error, match):
    with pytest.raises(error, match=match):
        jax.eval_shape(RecurrentBlock().init, jax.random.key(0), x)
