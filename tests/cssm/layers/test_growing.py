"""mult_, g_, mg_ and spectral_transformer, against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from cssm import MIXERS

from tests.cssm.checks import check_streaming, check_truth
from tests.cssm.layers import truth as t
from tests.cssm.layers.test_coupled import TABLE, C, tree


def gates(params, x, timed=True):
    """name -> z"""
    ctx = t.context(x, timed)
    shape = (x.shape[2], x.shape[3] // 2 + 1)
    return lambda name: t.dense_gate(params[name], ctx, shape)


def mult(params, x, timed=True):
    gate = gates(params, x, timed)
    q, k, v = (
        t.bounded(gate(f"d_{s}")) * t.transition(params[f"kernel_{s.lower()}"], *x.shape[2:4], squash=False)
        for s in "QKV"
    )
    kq, qk, qv, kv = (t.sigmoid(gate(f"d_{s}")) for s in ("K_to_Q", "Q_to_K", "Q_to_V", "K_to_V"))
    u = np.stack(np.split(t.spectrum(t.dense(params["qkv_proj"], x)), 3, -1), -1)
    rows = [[q, kq, 0.0], [qk, k, 0.0], [qv, kv, v]]
    a = np.stack([np.stack([np.broadcast_to(e, u.shape[:-1]) for e in row], -1) for row in rows], -2)
    value = t.matrix_scan(a, u)[..., 2]
    logs = np.log(value)
    size = logs.real
    n = (size - size.mean((2, 3), keepdims=True)) / (size.std((2, 3), keepdims=True) + 1e-6)
    gamma, beta = params["ln_gamma_v"][:, 0, 0], params["ln_beta_v"][:, 0, 0]
    y = np.exp(gamma * (n + 1j * logs.imag) + beta)
    return t.dense(params["output_proj"], t.space(y, x.shape[3]))


def conv3d(kernel, x):
    frames, size = kernel.shape[:2]
    before = (size - 1) // 2
    pad = (before, size - 1 - before)
    padded = np.pad(x, [(0, 0), (frames - 1, 0), pad, pad, (0, 0)])
    steps, height, width = x.shape[1:4]
    return sum(
        padded[:, i : i + steps, j : j + height, k : k + width] @ kernel[i, j, k]
        for i, j, k in np.ndindex(*kernel.shape[:3])
    )


def growing(params, x, squash=False, additive=False):
    """g_transformer, or mg_transformer if it has the parameters."""
    height, width = x.shape[2:4]
    gate = gates(params, x)

    def rate(name):
        return t.sigmoid(gate(name))

    def kernel(state):
        name = "kernel" if "kernel" in params else f"kernel_{state}"
        return t.transition(params[name], height, width, squash)

    if "q_conv_kernel" in params:
        q = t.spectrum(t.gelu(conv3d(params["q_conv_kernel"], x)))
        u_k, u_v = np.split(t.spectrum(t.dense(params["kv_proj"], x)), 2, -1)
    else:
        u_q, u_k, u_v = np.split(t.spectrum(t.dense(params["qkv_proj"], x)), 3, -1)
        q = t.scan(t.bounded(gate("d_Q")) * kernel("q"), rate("B_Q") * u_q)
    key = t.scan(t.bounded(gate("d_K")) * q * kernel("k"), rate("B_K") * q * u_k)
    before = np.concatenate([np.zeros_like(key[:, :1]), key[:, :-1]], 1)
    if additive:
        coupled = rate("d_Q_to_V") * q + rate("d_K_to_V") * before
    else:
        coupled = rate("w_KV") * q * before
    value = t.scan(t.bounded(gate("d_V")) * kernel("v"), coupled + rate("B_V") * u_v)
    return t.dense(params["output_proj"], t.space(rate("C_gate") * value, width))


def spectral(params, x):
    height, width = x.shape[2:4]
    gate = gates(params, x)
    a = {s: t.bounded(gate(f"d_{s.upper()}")) * t.transition(params[f"kernel_{s}"], height, width) for s in "qkv"}
    u_q, u_k, u_v = np.split(t.dense(params["qkv_proj"], x), 3, -1)
    q = t.space(t.scan(a["q"], t.spectrum(u_q)), width)
    w = t.space(t.sigmoid(gate("w_KV")), width)
    k, value, frames = np.zeros_like(x[:, 0]), 0.0, []
    for i in range(x.shape[1]):
        value = a["v"][:, i] * value + t.spectrum(w[:, i] * q[:, i] * k + u_v[:, i])
        k = t.space(a["k"][:, i] * t.spectrum(q[:, i] * k) + t.spectrum(q[:, i] * u_k[:, i]), width)
        frames.append(t.space(value, width))
    v = np.stack(frames, 1)
    n = (v - v.mean((2, 3), keepdims=True)) / (v.std((2, 3), keepdims=True) + 1e-6)
    return t.dense(params["output_proj"], params["ln_gamma"][:, 0, 0] * n + params["ln_beta"][:, 0, 0])


CASES = {
    "mult": ("mult_transformer", mult, {}, {}),
    "g": ("g_transformer", growing, {}, {}),
    "g-flags": (
        "g_transformer",
        growing,
        {"shared_kernel": True, "additive_kv": True, "spectral_clip": True},
        {"squash": True, "additive": True},
    ),
    "mg": ("mg_transformer", growing, {"q_temporal": 2, "q_spatial": 3}, {}),
    "spectral": ("spectral_transformer", spectral, {}, {}),
}


def layer(key, **fields):
    return MIXERS[key](channels=C, kernel_size=3, **fields)


@pytest.mark.parametrize(("key", "truth", "fields", "formula"), CASES.values(), ids=CASES)
def test_values_and_gradients(key, truth, fields, formula, rng):
    x = 0.3 * rng.normal(size=(1, 3, 4, 5, C))
    check_truth(layer(key, **fields), lambda params, x: truth(params, x, **formula), x, TABLE)


@pytest.mark.parametrize("key", ["mult_transformer", "mg_transformer", "spectral_transformer"])
def test_streaming(key, rng):
    check_streaming(layer(key, rope_mode="mrope"), 0.3 * rng.normal(size=(1, 4, 4, 4, C)).astype(np.float32))


def names(key, **fields):
    return {path.split("/")[0]: shape for path, shape in tree(key, **fields).items() if not path.endswith("bias")}


def test_parameters():
    gate, kernel, norm = (4, 18), (4, 3, 3), (4, 1, 1)
    kernels = dict.fromkeys(("kernel_q", "kernel_k", "kernel_v"), kernel)
    three = {"qkv_proj": (4, 12), "output_proj": (4, 4)}
    decays = ("d_Q", "d_K", "d_V")
    assert names("mult_transformer") == kernels | three | dict.fromkeys(
        ("ln_gamma_v", "ln_beta_v"), norm
    ) | dict.fromkeys((*decays, "d_K_to_Q", "d_Q_to_K", "d_Q_to_V", "d_K_to_V"), gate)
    inputs = ("B_Q", "B_K", "B_V", "C_gate")
    assert names("g_transformer") == kernels | three | dict.fromkeys((*decays, "w_KV", *inputs), gate)
    assert names("g_transformer", shared_kernel=True, additive_kv=True) == {"kernel": kernel} | three | dict.fromkeys(
        (*decays, "d_Q_to_V", "d_K_to_V", *inputs), gate
    )
    assert names("mg_transformer") == {
        "q_conv_kernel": (3, 5, 5, 4, 4),
        "kernel_k": kernel,
        "kernel_v": kernel,
        "kv_proj": (4, 8),
        "output_proj": (4, 4),
    } | dict.fromkeys((*decays[1:], "w_KV", *inputs[1:]), gate)
    assert names("spectral_transformer") == kernels | three | dict.fromkeys(
        ("ln_gamma", "ln_beta"), norm
    ) | dict.fromkeys((*decays, "w_KV"), gate)


def test_bad_fields():
    with pytest.raises(ValueError, match="q_temporal: got 0, expected a positive integer"):
        tree("mg_transformer", q_temporal=0)
