"""Pieces of the layers, in float64 NumPy from the formulas of the specification, that the truths of several share."""

from __future__ import annotations

import numpy as np

from tests.cssm.numpy_layers import embed, kappa


def dense(params, x):
    return x @ params["kernel"] + params["bias"]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def silu(z):
    return z * sigmoid(z)


def gelu(z):
    """The tanh approximation."""
    return 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))


def softplus(z):
    return np.log1p(np.exp(z))


def bounded(z):
    """b(z)"""
    return 0.1 + 0.89 * sigmoid(z)


def rms(x, scale):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale


def depthwise(params, x):
    """DW[s]: SAME, over H and W of (..., H, W, C)."""
    kernel = params["kernel"]
    size = kernel.shape[0]
    before = (size - 1) // 2
    height, width = x.shape[-3:-1]
    sides = (before, size - 1 - before)
    padded = np.pad(x, [(0, 0)] * (x.ndim - 3) + [sides, sides, (0, 0)])
    return params["bias"] + sum(
        kernel[i, j, 0] * padded[..., i : i + height, j : j + width, :] for i in range(size) for j in range(size)
    )


def causal(params, x):
    """DW1[s]: causal along axis 1."""
    kernel = params["kernel"]
    size = kernel.shape[0]
    padded = np.concatenate([np.zeros((x.shape[0], size - 1, *x.shape[2:])), x], 1)
    return params["bias"] + sum(kernel[i, 0] * padded[:, i : i + x.shape[1]] for i in range(size))


def table(length, channels):
    """E (T, C)"""
    theta = np.arange(length)[:, None] * 10000.0 ** (-np.arange(0, channels, 2) / channels)
    return np.stack([np.sin(theta), np.cos(theta)], -1).reshape(length, channels)


def turned(x):
    """x (B, T, H, W, C) with pair j of its channels turned by t w_j, the rotation "temporal"."""
    w = 10000.0 ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    theta = np.arange(x.shape[1])[:, None, None, None] * w
    pairs = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * theta)
    return np.stack([pairs.real, pairs.imag], -1).reshape(x.shape)


def context(x, timed):
    """ctx, or ctx+, (B, T, C)"""
    ctx = x.mean((2, 3))
    return ctx + table(*x.shape[1::3]) if timed else ctx


def dense_gate(params, ctx, shape):
    """(B, T, *shape, 1)"""
    return dense(params, ctx).reshape(*ctx.shape[:2], *shape, 1)


def factors(params, name, ctx):
    """(B, T, H, 1, 1), (B, T, 1, F, 1)"""
    return dense(params[f"{name}_h"], ctx)[:, :, :, None, None], dense(params[f"{name}_w"], ctx)[:, :, None, :, None]


def spectrum(x):
    """rfft2 over (H, W) of (..., H, W, C)."""
    return np.fft.rfft2(x, axes=(-3, -2))


def space(x_hat, width):
    """Axis by axis: complex along H, then to real numbers along W."""
    return np.fft.irfft(np.fft.ifft(x_hat, axis=-3), n=width, axis=-2)


def transition(kernel, height, width, squash=True):
    """kappa(k), or rfft2(P(k)): (H, F, C)"""
    image = embed(kernel, height, width)
    return np.moveaxis(kappa(image) if squash else np.fft.rfft2(image), 0, -1)


def scan(a, u):
    """h_t = a_t h_{t-1} + u_t over axis 1; a broadcasts to u."""
    a = np.broadcast_to(a, u.shape)
    h, states = np.zeros_like(u[:, 0]), []
    for t in range(u.shape[1]):
        h = a[:, t] * h + u[:, t]
        states.append(h)
    return np.stack(states, 1)


def matrix_scan(a, u):
    """h_t = A_t h_{t-1} + u_t over axis 1: A (B, T, ..., k, k), u (B, T, ..., k)."""
    a = np.broadcast_to(a, (*u.shape, u.shape[-1]))
    h, states = np.zeros_like(u[:, 0]), []
    for t in range(u.shape[1]):
        h = (a[:, t] * h[..., None, :]).sum(-1) + u[:, t]
        states.append(h)
    return np.stack(states, 1)


def convolved(params, x):
    """'SAME', (..., H, W, C) by an odd kernel (s, s, C, C')."""
    kernel = params["kernel"]
    size = len(kernel)
    sides = (size // 2, size // 2)
    height, width = x.shape[-3:-1]
    padded = np.pad(x, [(0, 0)] * (x.ndim - 3) + [sides, sides, (0, 0)])
    taps = np.ndindex(size, size)
    return params["bias"] + sum(padded[..., i : i + height, j : j + width, :] @ kernel[i, j] for i, j in taps)


def frame_norm(z):
    return z / np.sqrt((abs(z) ** 2).sum((2, 3), keepdims=True) + 1e-6)


def delta_rule(decay, beta, k, v, q, textbook):
    """Step by step, bin by bin: s <- M s + beta v_r conj(k) for each row s of S; spectra (B, T, H, F, n, d)."""
    o = np.zeros_like(v)
    decay, beta = (np.broadcast_to(gate, v.shape[:-1]) for gate in (decay, beta))
    for at in np.ndindex(*v.shape[:1], *v.shape[2:-1]):
        S = np.zeros((v.shape[-1],) * 2, complex)
        for step in range(v.shape[1]):
            i = (at[0], step, *at[1:])
            M = decay[i] * (np.eye(len(S)) - beta[i] * np.outer(k[i], k[i].conj()))
            S = S @ (M if textbook else M.T) + beta[i] * np.outer(v[i], k[i].conj())
            o[i] = S @ q[i]
    return o


def gate(params, name, ctx, gate_type, rows, columns):
    """(B, T, rows, columns, 1) or (B, T, 1, 1, heads or 1)"""
    if gate_type == "factored":
        return np.add(*factors(params, name, ctx))
    if gate_type == "dense":
        return dense_gate(params[name], ctx, (rows, columns))
    return dense(params[name], ctx)[:, :, None, None]
