"""hgru_bi and transformer, against their formulas."""

from __future__ import annotations

import flax.linen as nn
import jax
import numpy as np
import pytest
from cssm import MIXERS
from cssm.nn.states import StateDense

from tests.cssm.checks import check_implementations, check_streaming, check_truth, initial, jit, shapes
from tests.cssm.layers import truth as t

C = 4
TABLE = 1e-7  # the frames' sinusoidal table is float32 in float64 layers too
HGRU_GATES = (
    *(f"decay_{state}_gate" for state in "xyz"),
    *("mu_inhib_gate", "mu_excit_gate", "alpha_inhib_gate", "alpha_excit_gate", "gamma_gate", "delta_gate"),
    *(f"{name}_gate" for name in "BDEC"),
)


def states_of(params, x, a, inputs):
    """s_t = A_t s_{t-1} + inputs_t u_hat_t, (B, T, H, F, C, k), of a k x k list of broadcastable arrays."""
    k = len(inputs)
    u = t.spectrum(t.dense(params["input_proj"], x))
    u = np.stack([gate * part for gate, part in zip(inputs, np.split(u, k, -1))], -1)
    rows = [np.stack([np.broadcast_to(entry, u.shape[:-1]) for entry in row], -1) for row in a]
    return t.matrix_scan(np.stack(rows, -2), u)


def read(params, states, gate, width, act=lambda y: y):
    """Channel-major, state minor."""
    states = t.sigmoid(gate)[..., None] * states
    y = act(t.space(states.reshape(*states.shape[:4], -1), width))
    return t.dense(params["output_proj"], y) if states.shape[-1] > 1 else y


def hgru(params, x, coupling=t.sigmoid, readout="xyz", act=lambda y: y):
    height, width = x.shape[2:4]
    ctx = t.context(x, timed=True)
    gate = {name: t.dense_gate(params[name], ctx, (height, width // 2 + 1)) for name in HGRU_GATES}
    excite, inhibit = (t.transition(params[name], height, width) for name in ("k_exc", "k_inh"))
    d_x, d_y, d_z = (t.bounded(gate[name]) for name in HGRU_GATES[:3])
    mu_i, mu_e, alpha_i, alpha_e, gamma, delta = (coupling(gate[name]) for name in HGRU_GATES[3:9])
    a = [
        [d_x, -mu_i * inhibit, -alpha_i * inhibit],
        [mu_e * excite, d_y, alpha_e * excite],
        [gamma, delta, d_z],
    ]
    states = states_of(params, x, a, [t.sigmoid(gate[f"{name}_gate"]) for name in "BDE"])
    return read(params, states[..., ["xyz".index(s) for s in readout]], gate["C_gate"], width, act)


def transformer(params, x, timed=True, squash=True, readout="qka", act=lambda y: y):
    """Which flags are set is seen by the parameters there are."""
    height, width = x.shape[2:4]
    ctx = t.context(x, timed=timed)

    def raw(name):
        return t.dense_gate(params[name], ctx, (height, width // 2 + 1))

    def rate(name):
        return t.sigmoid(raw(name))

    kappa = t.transition(params["kernel"], height, width, squash)
    d = {state: t.bounded(raw(f"decay_{state}")) for state in "QKA" if f"decay_{state}" in params}
    inputs = [rate(f"B_{state}") for state in d]
    alpha = rate("alpha") if "alpha" in params else 0.0
    gamma = rate("gamma")
    if "K" not in d:
        states = states_of(params, x, [[d["Q"], alpha * kappa], [gamma, d["A"]]], inputs)
        return read(params, states, raw("C_gate"), width, act)
    from_k, to_k = (rate(n) for n in (("w_k_to_q", "w_q_to_k") if "w_k_to_q" in params else ("w_qk", "w_qk")))
    a = [[d["Q"], from_k * kappa, alpha * kappa], [to_k * kappa, d["K"], 0.0], [gamma, gamma, d["A"]]]
    states = states_of(params, x, a, inputs)
    if "ln_gamma" in params:
        logs = np.log(np.abs(states))
        mean, std = logs.mean((2, 3), keepdims=True), logs.std((2, 3), keepdims=True)
        logs = params["ln_gamma"][:, 0, 0] * (logs - mean) / (std + 1e-6) + params["ln_beta"][:, 0, 0]
        states = np.exp(logs + 1j * np.angle(states))
    return read(params, states[..., ["qka".index(s) for s in readout]], raw("C_gate"), width, act)


CASES = {
    "hgru": ("hgru_bi", hgru, {}, {}),
    "hgru-softplus-one": (
        "hgru_bi",
        hgru,
        {"gate_activation": "softplus", "readout_state": "y", "pre_output_act": "gelu"},
        {"coupling": t.softplus, "readout": "y", "act": t.gelu},
    ),
    "kqv": ("kqv", transformer, {}, {}),
    "kqv-flags": (
        "kqv",
        transformer,
        {"asymmetric_qk": True, "no_feedback": True, "no_spectral_clip": True, "position_independent_gates": True},
        {"squash": False, "timed": False},
    ),
    "kqv-layernorm": (
        "transformer",
        transformer,
        {"use_layernorm": True, "readout_state": "qa", "pre_output_act": "silu"},
        {"readout": "qa", "act": t.silu},
    ),
    "kqv-two": ("transformer", transformer, {"no_k_state": True, "no_feedback": True, "use_layernorm": True}, {}),
}


def layer(key, **fields):
    return MIXERS[key](channels=C, kernel_size=3, **fields)


@pytest.mark.parametrize(("key", "truth", "fields", "formula"), CASES.values(), ids=CASES)
def test_values_and_gradients(key, truth, fields, formula, rng):
    x = rng.normal(size=(2, 3, 4, 5, C))
    check_truth(layer(key, **fields), lambda params, x: truth(params, x, **formula), x, TABLE)


def test_kernel_larger_than_the_image_and_one_frame(rng):
    check_truth(layer("hgru_bi"), hgru, rng.normal(size=(1, 1, 2, 4, C)))


def test_streaming(rng):
    check_streaming(layer("kqv", rope_mode="mrope"), rng.normal(size=(2, 4, 4, 5, C)).astype(np.float32))


@pytest.mark.parametrize("key", ["hgru_bi", "kqv"])
def test_implementations(key, rng):
    check_implementations(layer(key, rope_mode="temporal"), rng.normal(size=(2, 3, 4, 6, C)).astype(np.float32))


def tree(key, **fields):
    x = np.ones((1, 2, 6, 5, C), np.float32)
    return shapes(jax.eval_shape(layer(key, **fields).init, jax.random.key(0), x)["params"])


def dense(**features):
    return {
        f"{name}/{leaf}": shape
        for name, (rows, n) in features.items()
        for leaf, shape in (("kernel", (rows, n)), ("bias", (n,)))
    }


def test_parameters():
    kernel = {"kernel": (4, 3, 3)}
    gate = (4, 18)
    assert tree("hgru_bi") == dense(
        input_proj=(4, 12), output_proj=(12, 4), **dict.fromkeys(HGRU_GATES, gate)
    ) | dict.fromkeys(("k_exc", "k_inh"), (4, 3, 3))
    assert "output_proj/kernel" not in tree("hgru_bi", readout_state="x")
    common = ("decay_Q", "decay_A", "gamma", "B_Q", "B_A", "C_gate")
    three = dict.fromkeys((*common, "decay_K", "B_K"), gate)
    projections = {"input_proj": (4, 12), "output_proj": (12, 4)}
    assert tree("kqv") == kernel | dense(**projections, **three, w_qk=gate, alpha=gate)
    norms = dict.fromkeys(("ln_gamma", "ln_beta"), (4, 1, 1, 3))
    assert tree("kqv", asymmetric_qk=True, no_feedback=True, use_layernorm=True) == kernel | norms | dense(
        **projections, **three, w_k_to_q=gate, w_q_to_k=gate
    )
    assert tree("kqv", no_k_state=True) == kernel | dense(
        input_proj=(4, 8), output_proj=(8, 4), **dict.fromkeys(common, gate), alpha=gate
    )


def test_initial_values():
    """Of the projection onto states those of a Dense layer; of the kernel a variance of 1 / (C K)."""
    x, key = np.ones((1, 1, 2, 2, 64), np.float32), jax.random.key(0)
    projections = [jit(one.init)(key, x) for one in (StateDense(3), nn.Dense(192))]
    jax.tree.map(np.testing.assert_array_equal, *projections)
    kernel = initial(MIXERS["kqv"](channels=64, kernel_size=3), "kernel", x)
    assert abs(kernel.std() * np.sqrt(64 * 3) - 1) < 0.1


@pytest.mark.parametrize(
    ("key", "fields", "match"),
    [
        ("hgru_bi", {"gate_activation": "tanh"}, "gate_activation: got 'tanh', expected one of sigmoid, softplus"),
        ("hgru_bi", {"readout_state": "yx"}, "readout_state: got 'yx', expected letters of 'xyz', in this order"),
        ("kqv", {"readout_state": "xyz"}, "readout_state: got 'xyz', expected letters of 'qka', in this order"),
        ("kqv", {"pre_output_act": "relu"}, "pre_output_act: got 'relu', expected one of none, gelu, silu"),
        ("kqv", {"spectral_rho": 2.0}, r"spectral_rho: got 2.0, expected a number in \(0, 1\]"),
    ],
)
def test_bad_fields(key, fields, match):
    with pytest.raises(ValueError, match=match):
        tree(key, **fields)


def test_fields_without_effect_warn():
    with pytest.warns(UserWarning, match="concat_xyz=False has no effect"):
        tree("hgru_bi", concat_xyz=False)
    with pytest.warns(UserWarning, match="gate_rank=2 has no effect"):
        tree("kqv", gate_rank=2)
