"""gated with dense mixing, of blocks or of low rank, against its formulas."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
import pytest
from cssm import MIXERS
from cssm.nn.position import apply_rotary

from tests.cssm.checks import apply, assert_close, check_streaming, check_truth, initial, random_variables, shapes
from tests.cssm.layers import truth as t

C = 3


def low_rank(params, x, seen=None):
    height, width = x.shape[2:4]
    ctx = t.context(x if seen is None else seen, timed=False)
    delta, b, c = (t.dense_gate(params[f"{name}_gate"], ctx, (height, width // 2 + 1)) for name in ("delta", "B", "C"))
    delta = t.softplus(delta)
    a = np.exp(-delta) * t.transition(params["kernel"], height, width)
    y = t.sigmoid(c) * t.scan(a, (delta + 1e-8) * t.sigmoid(b) * t.spectrum(x))
    down, up = (params[f"V_{name}_real"] + 1j * params[f"V_{name}_imag"] for name in ("down", "up"))
    return t.space(y + params["mix_scale"] * (y @ down @ up), width)


def blocks(params, x, size, scrambled=False):
    count = -(-C // size)
    batch, length, height, width, _ = x.shape
    columns = width // 2 + 1
    x = np.concatenate([x, np.zeros((*x.shape[:-1], count * size - C))], -1)
    ctx = t.context(x, timed=False)
    delta, b, c = (
        np.moveaxis(t.dense(params[f"{name}_gate"], ctx).reshape(batch, length, count, height, columns, 1), 2, 4)
        for name in ("delta", "B", "C")
    )
    delta = t.softplus(delta)
    kappa = np.zeros((height, columns, count, size, size), complex)
    for n, i in np.ndindex(count, size):
        kappa[:, :, n, i] = t.transition(params["kernel_blocks"][n, i], height, width)
    a = np.exp(-delta)[..., None] * kappa
    u = (delta + 1e-8) * t.sigmoid(b) * t.spectrum(x).reshape(batch, length, height, columns, count, size)
    if scrambled:
        a, u = (v.reshape(batch * height * columns, length, *v.shape[4:]) for v in (a, u))
        h = t.matrix_scan(a, u).reshape(batch, height, columns, length, count, size)
        h = h.transpose(0, 3, 1, 2, 4, 5)
    else:
        h = t.matrix_scan(a, u)
    y = (t.sigmoid(c) * h).reshape(batch, length, height, columns, count * size)
    return t.space(y[..., :C], width)


def layer(**fields):
    return MIXERS["gated"](channels=C, kernel_size=3, dense_mixing=True, **fields)


@pytest.mark.parametrize(
    ("fields", "formula"),
    [
        ({"mixing_rank": 2}, low_rank),
        ({"block_size": 2}, partial(blocks, size=2)),
        ({"block_size": 8}, partial(blocks, size=C)),
        ({"block_size": 2, "reference_layout": True}, partial(blocks, size=2, scrambled=True)),
    ],
    ids=["low rank", "blocks", "one block", "reference layout"],
)
def test_values_and_gradients(fields, formula, rng):
    check_truth(layer(**fields), formula, rng.normal(size=(2, 3, 4, 5, C)))


def test_position_independent_gates_see_what_is_not_rotated(rng):
    turned = layer(mixing_rank=2, rope_mode="temporal", position_independent_gates=True).clone(channels=4)
    x = rng.normal(size=(1, 3, 4, 5, 4)).astype(np.float32)
    variables = random_variables(turned, x)
    expected = low_rank(variables["params"], np.asarray(apply_rotary(x, "temporal")), seen=x)
    assert_close(apply(turned, variables, x), expected)


@pytest.mark.parametrize("fields", [{"mixing_rank": 2}, {"block_size": 2}], ids=["low rank", "blocks"])
def test_streaming(fields, rng):
    turned = layer(**fields, rope_mode="temporal").clone(channels=4)
    check_streaming(turned, rng.normal(size=(2, 4, 4, 5, 4)).astype(np.float32))


def test_the_reference_layout_is_not_causal():
    with pytest.raises(ValueError, match="cannot be run frame by frame: reference_layout mixes time with frequency"):
        layer(reference_layout=True).step(None, np.ones((1, 4, 4, C), np.float32))


def test_parameters():
    x = np.ones((1, 2, 4, 5, C), np.float32)
    gates = ("delta_gate", "B_gate", "C_gate")
    tree = jax.eval_shape(layer(block_size=2).init, jax.random.key(0), x)
    assert shapes(tree["params"]) == {
        "kernel_blocks": (2, 2, 2, 3, 3),
        **{f"{gate}/kernel": (4, 24) for gate in gates},
        **{f"{gate}/bias": (24,) for gate in gates},
    }
    tree = jax.eval_shape(layer(mixing_rank=2).init, jax.random.key(0), x)
    assert shapes(tree["params"]) == {
        "kernel": (3, 3, 3),
        "V_down_real": (3, 2),
        "V_down_imag": (3, 2),
        "V_up_real": (2, 3),
        "V_up_imag": (2, 3),
        "mix_scale": (1,),
        **{f"{gate}/kernel": (3, 12) for gate in gates},
        **{f"{gate}/bias": (12,) for gate in gates},
    }
    assert initial(layer(mixing_rank=2), "mix_scale", x) == np.float32(0.1)
    assert np.isclose(initial(layer(mixing_rank=1600), "V_up_imag", x).std(), 0.02 / 40, rtol=0.1)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"mixing_rank": -1}, "mixing_rank: got -1, expected a rank >= 0"),
        ({"block_size": 0}, "block_size: got 0, expected a positive integer"),
    ],
)
def test_bad_fields(fields, match):
    with pytest.raises(ValueError, match=match):
        jax.eval_shape(layer(**fields).init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))
