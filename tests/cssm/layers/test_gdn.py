"""gdn and its variants, against their formulas."""

from __future__ import annotations

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
    random_variables,
    shapes,
)
from tests.cssm.layers import truth as t

C = 4
TABLE = 1e-7  # the frames' sinusoidal table is float32 in float64 layers too


def cross(params, z):
    """Along F, of (B, T, H, F, C)."""
    kernel = params["kernel"][:, 0, 0]
    side = len(kernel) // 2
    padded = np.pad(z, [(0, 0)] * 3 + [(side, side), (0, 0)])
    return params["bias"] + sum(kernel[i] * padded[:, :, :, i : i + z.shape[3]] for i in range(len(kernel)))


def attention(params, y, mode):
    if mode == "qk":
        a = (t.dense(params["attn_q"], y) * t.dense(params["attn_k"], y)).sum(-1, keepdims=True) / 4
    else:
        a = t.dense(params["attn_collapse"], y)
    gamma = t.sigmoid(params["attn_gamma"])
    if mode != "spectral":
        return y * t.sigmoid(t.scan(gamma, (1 - gamma) * a))
    kappa = t.transition(params["attn_kernel"], *y.shape[2:4])
    return y * t.sigmoid(t.space(t.scan(gamma * kappa, (1 - gamma) * t.spectrum(a)), y.shape[3]))


def gdn(params, x, d=2, gate_type="channel", act=t.silu, clamp=True, norm=True, mode=None, textbook=False, timed=True):
    height, width = x.shape[2:4]
    seen = x
    x = t.turned(x)
    m = t.depthwise(params["qkv_dw"], x) if "qkv_dw" in params else x
    if params["qkv_proj"]["kernel"].ndim == 4:
        m = t.convolved(params["qkv_proj"], m)
    else:
        m = t.dense(params["qkv_proj"], m)
    q, k, v = np.split(m, 3, -1)
    if "short_conv_q" in params:
        q, k, v = (t.silu(t.causal(params[f"short_conv_{name}"], z)) for name, z in zip("qkv", (q, k, v)))
    ctx = t.context(x, timed=True) if timed else t.context(seen, timed=False)
    if "temporal_embed" in params:
        ctx = t.context(x, timed=False) + params["temporal_embed"]

    def input_gate(name):
        if gate_type == "channel":
            return t.sigmoid(x @ params[name]["kernel"][0, 0] + params[name]["bias"])
        return t.sigmoid(t.gate(params, name, ctx, gate_type, height, width))

    if any(name.startswith("B_k") for name in params):
        k, v = k * input_gate("B_k"), v * input_gate("B_v")
    out = act(t.dense(params["gate_proj"], x))
    columns = width // 2 + 1
    alpha = t.bounded(t.gate(params, "alpha", ctx, gate_type, height, columns))
    beta = t.sigmoid(t.gate(params, "beta", ctx, gate_type, height, columns))
    q, k, v = (t.spectrum(z) for z in (q, k, v))
    if norm:
        q, k = t.frame_norm(q), t.frame_norm(k)
    q, k, v = (z.reshape(*z.shape[:4], C // d, d) for z in (q, k, v))
    k = k / np.sqrt((abs(k) ** 2).sum(-1, keepdims=True) + 1e-6)
    kappa = t.transition(params["kernel"], height, width, squash=clamp)
    o = t.delta_rule(alpha * kappa, beta, k, v, q, textbook).reshape(*q.shape[:4], C)
    if "cross_freq_re" in params:
        o = cross(params["cross_freq_re"], o.real) + 1j * cross(params["cross_freq_im"], o.imag)
    y = t.space(o, width)
    if "rms_scale" in params:
        y = t.rms(y, params["rms_scale"])
    if "output_layernorm" in params:
        norm = params["output_layernorm"]
        y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6) * norm["scale"] + norm["bias"]
    if mode:
        y = attention(params, y, mode)
    return t.dense(params["output_proj"], y * out)


CASES = {
    "channel": ("gdn", {}, {}),
    "factored": ("gdn", {"gate_type": "factored", "delta_key_dim": 4}, {"gate_type": "factored", "d": 4}),
    "dense": (
        "gdn",
        {"gate_type": "dense", "delta_key_dim": 1, "qkv_conv_size": 3, "output_norm": "layer"},
        {"gate_type": "dense", "d": 1},
    ),
    "scalar": (
        "gdn",
        {"gate_type": "scalar", "no_spectral_clamp": True, "cross_freq_conv_size": 3, "output_norm": "none"},
        {"gate_type": "scalar", "clamp": False},
    ),
    "plain": (
        "gdn",
        {
            "short_conv_size": 0,
            "use_input_gates": False,
            "use_spectral_l2_norm": False,
            "output_gate_act": "sigmoid",
            "qkv_conv_size": 3,
            "qkv_conv_separable": False,
            "position_independent_gates": True,
            "textbook_delta": True,
        },
        {"norm": False, "act": t.sigmoid, "textbook": True, "timed": False},
    ),
    "spectral": ("gdn_int", {"attn_kernel_size": 3}, {"mode": "spectral"}),
    "elementwise": ("gdn_int_elem", {}, {"mode": "elementwise"}),
    "qk": ("gdn_int_qk", {}, {"mode": "qk"}),
}


def layer(key="gdn", **fields):
    return MIXERS[key](channels=C, kernel_size=3, **fields)


@pytest.mark.parametrize(("key", "fields", "formula"), CASES.values(), ids=CASES)
def test_values_and_gradients(key, fields, formula, rng):
    x = rng.normal(size=(1, 3, 4, 5, C))
    check_truth(layer(key, rope_mode="temporal", **fields), lambda params, x: gdn(params, x, **formula), x, TABLE)


def test_kernel_larger_than_the_image_and_one_frame(rng):
    check_truth(layer(rope_mode="temporal"), gdn, rng.normal(size=(2, 1, 2, 6, C)), TABLE)


@pytest.mark.parametrize(
    ("key", "fields"),
    [("gdn", {"gate_type": "factored", "rope_mode": "learned_t"}), ("gdn_int", {"rope_mode": "mrope"})],
)
def test_streaming(key, fields, rng):
    check_streaming(layer(key, **fields), rng.normal(size=(2, 5, 4, 5, C)).astype(np.float32))


def test_implementations(rng):
    fields = {"delta_key_dim": 4, "rope_mode": "temporal", "gate_type": "factored"}
    check_implementations(layer(**fields), rng.normal(size=(2, 4, 4, 6, C)).astype(np.float32))


def test_parameters():
    fields = {"gate_type": "factored", "ssl_proj_dim": 3, "cross_freq_conv_size": 3, "rope_mode": "learned_t"}
    module = layer("gdn_int", attn_kernel_size=7, qkv_conv_size=5, **fields)
    tree = jax.eval_shape(module.init, jax.random.key(0), np.ones((1, 2, 6, 5, C), np.float32))["params"]
    dense = {
        "qkv_proj": 12,
        "gate_proj": 4,
        "output_proj": 4,
        "attn_collapse": 1,
        "ssl_proj_in": 12,
        **{f"{name}_h": 6 for name in ("B_k", "B_v", "alpha", "beta")},
        **{f"{name}_w": 5 for name in ("B_k", "B_v")},
        **{f"{name}_w": 3 for name in ("alpha", "beta")},
    }
    assert shapes(tree) == {
        "kernel": (2, 3, 3),
        "qkv_dw/kernel": (5, 5, 1, 4),
        "qkv_dw/bias": (4,),
        **{f"short_conv_{name}/kernel": (4, 1, 4) for name in "qkv"},
        **{f"short_conv_{name}/bias": (4,) for name in "qkv"},
        **{f"cross_freq_{part}/kernel": (3, 1, 1) for part in ("re", "im")},
        **{f"cross_freq_{part}/bias": (1,) for part in ("re", "im")},
        "temporal_embed": (2, 4),
        "rms_scale": (4,),
        "attn_kernel": (1, 7, 7),
        "attn_gamma": (1,),
        **{f"{name}/kernel": (4, features) for name, features in dense.items()},
        **{f"{name}/bias": (features,) for name, features in dense.items()},
        "ssl_proj_out/kernel": (12, 3),
        "ssl_proj_out/bias": (3,),
    }


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"delta_key_dim": 3}, "delta_key_dim: got 3, expected a divisor of channels=4"),
        ({"gate_type": "conv"}, "gate_type: got 'conv', expected one of channel, dense, factored, scalar"),
        ({"output_norm": "batch"}, "output_norm: got 'batch', expected one of rms, layer, none"),
        ({"output_gate_act": "relu"}, "output_gate_act: got 'relu', expected one of silu, sigmoid"),
        ({"int_attention_mode": "all"}, "int_attention_mode: got 'all', expected one of none, elementwise"),
        ({"cross_freq_conv_size": 2}, "cross_freq_conv_size: got 2, expected 0 or an odd number"),
        ({"qkv_conv_size": 0}, "qkv_conv_size: got 0, expected a number >= 1"),
        ({"rope_mode": "learned"}, "mode: got 'learned', expected one of spatiotemporal"),
    ],
)
def test_bad_fields(fields, match):
    with pytest.raises(ValueError, match=match):
        jax.eval_shape(layer(**fields).init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))


def test_what_is_not_read_says_so():
    with pytest.warns(UserWarning, match="scan_mode='ssd' has no effect in GatedDeltaNetCSSM"):
        jax.eval_shape(layer(scan_mode="ssd").init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))


def test_still_image(rng):
    """The fast path is the last of so many equal frames."""
    fields = {"short_conv_size": 0, "use_input_gates": False, "gate_type": "factored"}
    image = rng.normal(size=(2, 4, 5, C)).astype(np.float32)
    video = np.repeat(image[:, None], 3, 1)
    module = layer(**fields, static_image_fast_path=True, num_timesteps=3)
    variables = random_variables(module, video)
    assert_close(apply(module, variables, image), apply(module, variables, video)[:, -1])
    with pytest.raises(ValueError, match="num_timesteps: got 0, expected a positive integer with static_image_fast"):
        apply(layer(**fields, static_image_fast_path=True), variables, image)
    with pytest.raises(ValueError, match="short_conv_size: got 4, expected 0 with static_image_fast_path"):
        apply(layer(static_image_fast_path=True, num_timesteps=3), variables, image)
    with pytest.raises(ValueError, match=r"x: got shape \(2, 4, 5, 4\), expected \(B, T, H, W, C\)"):
        apply(layer(**fields), variables, image)


def test_learned_rows_and_what_is_sown(rng):
    """`temporal_embed` ends with the video it was made for; the sown gates and projection are as published."""
    x = rng.normal(size=(2, 3, 4, 5, C)).astype(np.float32)
    module = layer(rope_mode="learned_t", ssl_proj_dim=3, dtype=np.dtype("bfloat16"))
    variables = random_variables(module, x)
    y, sown = apply(module, variables, x, mutable=("intermediates",))
    assert y.dtype == np.dtype("bfloat16")
    assert shapes(sown["intermediates"]) == {
        "alpha_t/0": (2, 3, 2, 1, 1),
        "beta_t/0": (2, 3, 2, 1, 1),
        "cssm_temporal_proj/0": (2, 3, 3),
    }
    alpha = np.asarray(sown["intermediates"]["alpha_t"][0])
    assert alpha.dtype == np.float32
    assert alpha.min() > 0.1
    for form in (module, module.clone(frames_at_once=2)):
        with pytest.raises(ValueError, match=r"x: got 4 frames, expected at most those of temporal_embed, \(3, 4\)"):
            jax.eval_shape(form.apply, variables, np.ones((2, 4, 4, 5, C), np.float32))
    with pytest.raises(ValueError, match=r"x: got shape \(2, 4, 5, 4\), expected \(B, T, H, W, C\)"):
        jax.eval_shape(module.apply, variables, np.ones((2, 4, 5, C), np.float32))
