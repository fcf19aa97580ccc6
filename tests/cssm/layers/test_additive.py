"""add_kqv, add_kqv_2, add_kqv_1 and add_delta, against their formulas."""

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

C = 4
TABLE = 1e-7  # the frames' sinusoidal table is float32 in float64 layers too
NAMES = {"add_kqv": "QKV", "add_kqv_2": "QV", "add_kqv_1": "X", "add_delta": "QKV"}


def full_conv(params, x):
    """SAME, over axes 2 and 3 of (B, T, ., ., C), all channels to all."""
    kernel = params["kernel"]
    before = (kernel.shape[0] - 1) // 2
    rows, columns = x.shape[2:4]
    padded = np.pad(x, [(0, 0), (0, 0), (before, before), (before, before), (0, 0)])
    taps = np.ndindex(kernel.shape[:2])
    return params["bias"] + sum(padded[:, :, i : i + rows, j : j + columns] @ kernel[i, j] for i, j in taps)


def gates_of(params, x, gate_type):
    """(rate, io), each name -> a sigmoid."""
    ctx = t.context(x, timed=True)
    height, columns = x.shape[2], x.shape[3] // 2 + 1

    def frequency(name):
        return t.dense_gate(params[name], ctx, (height, columns))

    def channel(name):
        return t.dense(params[name], ctx)[:, :, None, None]

    def low_rank(name):
        return t.dense_gate(params[f"{name}_up"], t.dense(params[f"{name}_down"], ctx), (height, columns))

    def conv(name):
        return full_conv(params[name], x)

    rates, ios = {
        "dense": (frequency, frequency),
        "scalar": (channel, channel),
        "channel": (channel, conv),
        "conv": (conv, conv),
        "dense_decay": (frequency, conv),
        "dense_io": (channel, frequency),
        "factored": (lambda name: np.add(*t.factors(params, name, ctx)),) * 2,
        "spectral_conv": (lambda name: full_conv(params[name], abs(t.spectrum(x))),) * 2,
        "low_rank": (low_rank, low_rank),
    }[gate_type]

    def rate(name):
        gate = t.sigmoid(rates(name))
        return gate.mean((2, 3), keepdims=True) if gate_type == "conv" else gate

    return rate, lambda name: t.sigmoid(ios(name))


def additive(params, x, gate_type="dense", delta=False):
    """Which states there are is seen by the parameters."""
    names = next(n for n, proj in (("X", "x_proj"), ("QV", "qv_proj"), ("QKV", "qkv_proj")) if proj in params)
    rate, io = gates_of(params, x, gate_type)
    spatial = gate_type in ("channel", "conv", "dense_decay")
    width = x.shape[3]
    kappa = t.transition(params["kernel"], x.shape[2], width)
    proj = {"X": "x_proj", "QV": "qv_proj", "QKV": "qkv_proj"}[names]
    inputs = dict(zip(names, np.split(t.dense(params[proj], x), len(names), -1)))
    u = {}
    for name, value in inputs.items():
        if delta and name != "V":
            value = value / (np.linalg.norm(value, axis=-1, keepdims=True) + 1e-6)
        gate = io(f"B_{name}")
        u[name] = t.spectrum(gate * value) if spatial else gate * t.spectrum(value)
    decay = {name: 0.1 + 0.89 * rate(f"d_{name}") for name in names}
    if delta:
        decay["V"] = decay["V"] * (1 - rate("beta"))

    none = np.zeros((1, 1, 1, 1, 1))
    entries = {(name, name): decay[name] * (1 if name == "V" else kappa) for name in names}
    if "V" in names:
        entries |= {("V", name): rate("gamma") for name in names if name != "V"}
    if "K" in names:
        entries["K", "Q"] = rate("w_kq") * kappa
    shape = u[names[0]].shape
    a = np.stack([np.stack([np.broadcast_to(entries.get((i, j), none), shape) for j in names], -1) for i in names], -2)
    u = np.stack([u[name] for name in names], -1)
    if "init_real" in params:  # before the first frame
        start = np.exp(params["init_real"] + 1j * params["init_imag"]).reshape(C, -1)
        u[:, 0] += (a[:, 0] * start[:, None, :]).sum(-1)
    states = t.matrix_scan(a, u)
    y = states[..., -1]
    if delta:
        y = y * states[..., 0].conj() / (abs(states[..., 0]) + 1e-6)
    gate = io("C_gate")
    y = gate * t.space(y, width) if spatial else t.space(gate * y, width)
    return t.dense(params["output_proj"], y)


def layer(key="add_kqv", **fields):
    return MIXERS[key](channels=C, kernel_size=3, **fields)


CASES = [
    ("add_kqv", "dense"),
    ("add_kqv", "channel"),
    ("add_delta", "conv"),
    ("add_kqv_2", "dense_decay"),
    ("add_kqv_2", "dense_io"),
    ("add_kqv_1", "scalar"),
    ("add_kqv_1", "factored"),
    ("add_kqv_1", "spectral_conv"),
    ("add_kqv_1", "low_rank"),
]


@pytest.mark.parametrize(("key", "gate_type"), CASES)
def test_values_and_gradients(key, gate_type, rng):
    formula = partial(additive, gate_type=gate_type, delta=key == "add_delta")
    check_truth(layer(key, gate_type=gate_type), formula, rng.normal(size=(1, 3, 4, 5, C)), TABLE)


@pytest.mark.parametrize("key", ["add_kqv", "add_kqv_1"])
def test_learned_init(key, rng):
    check_truth(layer(key, learned_init=True), additive, rng.normal(size=(2, 2, 4, 5, C)), TABLE)


def test_scan_modes(rng):
    x = rng.normal(size=(1, 2, 4, 5, C)).astype(np.float32)
    plain = layer("add_kqv_1")
    variables = random_variables(plain.clone(learned_init=True), x)
    zero = apply(plain, {"params": {k: v for k, v in variables["params"].items() if "init_" not in k}}, x)
    for mode in ({"scan_mode": "quadratic"}, {"use_ssd": True}):
        with pytest.warns(UserWarning, match="learned_init=True has no effect with scan_mode="):
            assert_close(jit(plain.clone(learned_init=True, **mode).apply)(variables, x), zero)
    linear = jit(plain.clone(learned_init=True, scan_mode="pallas").apply)(variables, x)
    init = variables["params"]["init_real"] + 1j * variables["params"]["init_imag"]
    logs = np.log(init)
    moved = {"params": variables["params"] | {"init_real": logs.real, "init_imag": logs.imag}}
    assert_close(linear, jit(plain.clone(learned_init=True).apply)(moved, x))
    with pytest.warns(UserWarning, match="use_complex32=True has no effect"):
        jax.eval_shape(plain.clone(use_complex32=True).init, jax.random.key(0), x)


def test_injected(rng):
    """Injecting what the projection gives, as sown, changes nothing; injecting something else does."""
    x = rng.normal(size=(1, 2, 4, 5, C)).astype(np.float32)
    variables = random_variables(layer(), x)
    y, sown = apply(layer(), variables, x, mutable="intermediates")
    sown = sown["intermediates"]
    assert set(sown) == {"qkv_spatial", "Q_hat", "K_hat", "V_hat"}
    assert sown["V_hat"][0].shape == (1, 2, C, 4, 3)
    qkv = sown["qkv_spatial"][0]
    injected = jit(layer().apply)
    assert_close(injected(variables, x, qkv), y)
    assert np.abs(injected(variables, x, 2 * qkv) - y).max() > 1e-3
    with pytest.raises(ValueError, match="injected_qkv_spatial: got shape"):
        layer().apply(variables, x, qkv[..., :2])


@pytest.mark.parametrize(
    ("key", "fields"),
    [("add_delta", {"gate_type": "channel", "rope_mode": "mrope"}), ("add_kqv", {"learned_init": True})],
)
def test_streaming(key, fields, rng):
    check_streaming(layer(key, **fields), rng.normal(size=(1, 4, 4, 5, C)).astype(np.float32))


def test_implementations(rng):
    check_implementations(layer(), rng.normal(size=(2, 4, 4, 6, C)).astype(np.float32))


def test_parameters():
    x = np.ones((1, 2, 4, 5, C), np.float32)

    def tree(key, **fields):
        return shapes(jax.eval_shape(layer(key, **fields).init, jax.random.key(0), x)["params"])

    def dense(*sizes):
        return {f"{name}/{leaf}": s for name, b in sizes for leaf, s in (("kernel", (C, b)), ("bias", (b,)))}

    qv = ("d_Q", "d_V", "gamma", "B_Q", "B_V", "C_gate")
    common = {"kernel": (C, 3, 3), **dense(("output_proj", C))}
    assert tree("add_delta") == {
        **common,
        **dense(("qkv_proj", 3 * C), *((name, 12) for name in (*qv, "d_K", "w_kq", "B_K", "beta"))),
    }
    assert tree("add_kqv_2", gate_type="scalar", learned_init=True) == {
        **common,
        "init_real": (1, 1, C, 1, 1, 2),
        "init_imag": (1, 1, C, 1, 1, 2),
        **dense(("qv_proj", 2 * C), *((name, 1) for name in qv)),
    }
    assert tree("add_kqv_1", gate_type="channel", learned_init=True) == {
        **common,
        "init_real": (1, 1, C, 1, 1),
        "init_imag": (1, 1, C, 1, 1),
        **dense(("x_proj", C), ("d_X", C)),
        **{f"{name}/kernel": (1, 1, C, C) for name in ("B_X", "C_gate")},
        **{f"{name}/bias": (C,) for name in ("B_X", "C_gate")},
    }
    assert (initial(layer(learned_init=True), "init_real", x) == -10).all()


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"gate_type": "sparse"}, "gate_type: got 'sparse', expected one of dense, scalar, channel"),
        ({"scan_mode": "serial"}, "scan_mode: got 'serial', expected one of associative, ssd"),
        (
            {"no_k_state": True, "use_delta_rule": True},
            "use_delta_rule: got True with no_k_state, expected at most one",
        ),
        ({"rope_mode": "learned_t"}, "mode: got 'learned_t'"),
    ],
)
def test_bad_fields(fields, match):
    with pytest.raises(ValueError, match=match):
        jax.eval_shape(layer(**fields).init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))
