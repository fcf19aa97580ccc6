"""The norm and its gradients written out, in float64."""

from __future__ import annotations

import numpy as np

_SLOPE, _CUBE = np.sqrt(2 / np.pi), 0.044715


def _gelu(x):
    inner = np.tanh(_SLOPE * (x + _CUBE * x**3))
    slope = 0.5 * (1 + inner) + 0.5 * x * (1 - inner**2) * _SLOPE * (1 + 3 * _CUBE * x**2)
    return 0.5 * x * (1 + inner), slope


# (act(x), act'(x))
ACTIVATIONS = {
    None: lambda x: (x, np.ones_like(x)),
    "gelu": _gelu,
    "softplus": lambda x: (np.logaddexp(x, 0), np.exp(-np.logaddexp(-x, 0))),
    "relu": lambda x: (np.maximum(x, 0), (x > 0) * 1.0),
}


def _normal(x, eps, activation):
    z, slope = ACTIVATIONS[activation](x)
    factor = 1 / np.sqrt(z.var(-1, keepdims=True) + eps)
    return (z - z.mean(-1, keepdims=True)) * factor, factor, slope


def normalise(x, scale, bias, eps, activation):
    """y of layer_norm(x, scale, bias)."""
    return _normal(x, eps, activation)[0] * scale + bias


def gradients(x, scale, g, eps, activation):
    """(dx, dscale, dbias) for the cotangent g."""
    normal, factor, slope = _normal(x, eps, activation)
    gs = g * scale
    mean = lambda v: v.mean(-1, keepdims=True)
    dx = factor * (gs - mean(gs) - normal * mean(gs * normal)) * slope
    rows = lambda v: v.reshape(-1, x.shape[-1]).sum(0)
    return dx, rows(g * normal), rows(g)
