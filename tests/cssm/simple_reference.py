"""SimpleCSSM's forward written out in NumPy."""

from __future__ import annotations

import numpy as np

from tests.cssm import numpy_layers as reference

ACTS = {
    "softplus": lambda x: np.log1p(np.exp(x)),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: np.maximum(x, 0),
}


def norm(x, p, norm_type):
    """The norms of rank 5 and below, except batch."""
    axes = {"instance": tuple(range(1, x.ndim - 1))}.get(norm_type, (-1,))
    if x.ndim == 5:
        video = {"temporal_layer": (1, 4), "global_layer": (1, 2, 3, 4), "global_instance": (1, 2, 3)}
        axes = video.get(norm_type, axes)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def conv(x, p):
    """'SAME' cross-correlation of (N, H, W, C) with an odd kernel."""
    size = p["kernel"].shape[0]
    height, width = x.shape[1:3]
    padded = np.pad(x, [(0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)])
    taps = np.ndindex(size, size)
    return p["bias"] + sum(padded[:, i : i + height, j : j + width] @ p["kernel"][i, j] for i, j in taps)


def max_pool(x):
    """2 x 2, stride 2, odd sizes rounded up."""
    padded = np.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)], constant_values=-np.inf)
    return np.max([padded[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=0)


def rotate_space(x):
    """spatial_only: pair j turns by y w_{2j} + x w_{2j+1}, a term absent once its frequency is."""
    out = x.copy()
    channels = x.shape[-1]
    w = [1e4 ** (-2 * j / channels) if j < channels // 2 else 0 for j in range(channels + 2)]
    for row, column in np.ndindex(*x.shape[2:4]):
        for j in range(channels // 2):
            pair = x[:, :, row, column, 2 * j] + 1j * x[:, :, row, column, 2 * j + 1]
            pair = pair * np.exp(1j * (row * w[2 * j] + column * w[2 * j + 1]))
            out[:, :, row, column, 2 * j], out[:, :, row, column, 2 * j + 1] = pair.real, pair.imag
    return out


def sinusoid(length, channels):
    table = np.zeros((length, channels))
    for t, j in np.ndindex(length, channels // 2):
        theta = t * 1e4 ** (-2 * j / channels)
        table[t, 2 * j], table[t, 2 * j + 1] = np.sin(theta), np.cos(theta)
    return table


def expected_logits(model, params, x, return_spatial=False):
    """Section 4.4 of the specification, step by step, for `no_gate` and norms without state."""
    x = np.asarray(x, np.float64)
    act = ACTS[model.act_type]
    if x.ndim == 4:
        x = np.stack([x] * model.seq_len, 1)
    batch, length = x.shape[:2]
    x = x.reshape(-1, *x.shape[2:])
    stem_norm = model.stem_norm or model.norm_type
    for i in range(1, 2 if model.stem_mode == "pathtracker" else model.stem_layers + 1):
        if model.stem_norm_order == "post":
            x = norm(act(conv(x, params[f"conv{i}"])), params[f"norm{i}"], stem_norm)
        else:
            x = conv(act(norm(x, params[f"norm{i}"], stem_norm)), params[f"conv{i}"])
        if model.stem_mode == "default":
            x = max_pool(x)
    x = x.reshape(batch, length, *x.shape[1:])
    if model.pos_embed == "learnable":
        x = x + params["pos_embed"]
    elif model.pos_embed == "sinusoidal":
        x = rotate_space(x) + sinusoid(length, x.shape[-1])[:, None, None]
    elif model.pos_embed == "separate":
        table, rows = params["temporal_embed"], model.max_seq_len
        at = np.linspace(0, rows - 1, length) if length > rows else np.arange(length)
        table = np.stack([np.interp(at, np.arange(rows), column) for column in table.T], 1)
        x = rotate_space(x) + table[:, None, None]
    if model.n_register_tokens:
        x = np.concatenate([np.repeat(params["register_tokens"], batch, 0), x], 1)
    for i in range(model.depth):
        x = x + reference.no_gate(params[f"cssm_{i}"], x)
        if i < model.depth - 1:
            x = act(norm(x, params[f"body_norm_{i}"], model.body_norm or model.norm_type))
            if model.inter_mlp_ratio:
                up, down = params[f"mlp_{i}_up"], params[f"mlp_{i}_down"]
                x = x + act(x @ up["kernel"] + up["bias"]) @ down["kernel"] + down["bias"]
    x = x[:, model.n_register_tokens :]
    if model.frame_readout == "last" and not return_spatial:
        x = x[:, -1]
    pre = model.readout_norm == "pre"
    x = act(norm(x, params["norm_pre"], model.norm_type)) if pre else norm(act(x), params["norm_pre"], model.norm_type)
    if not return_spatial:
        x = {"mean": np.mean, "max": np.max}[model.pool_type](x, axis=tuple(range(1, x.ndim - 1)))
        x = norm(x, params["norm_post"], model.norm_type)
    return x @ params["head"]["kernel"] + params["head"]["bias"]
