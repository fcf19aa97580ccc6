"""The convolution and its gradients as loops over taps, in float64."""

from __future__ import annotations

import numpy as np


def convolve(x, kernel, bias):
    """y of depthwise_conv(x, kernel, bias)."""
    y = np.zeros(x.shape) + bias
    for tap, ahead, there in _taps(x, kernel):
        y[ahead] += kernel[tap] * x[there]
    return y


def gradients(x, kernel, g):
    """(dx, dkernel, dbias) for the cotangent g."""
    dx, dkernel = np.zeros(x.shape), np.zeros(kernel.shape)
    for tap, ahead, there in _taps(x, kernel):
        dx[there] += kernel[tap] * g[ahead]
        dkernel[tap] = (x[there] * g[ahead]).reshape(-1, x.shape[-1]).sum(0)
    return dx, dkernel, g.reshape(-1, x.shape[-1]).sum(0)


def _taps(x, kernel):
    """For each tap: its index, the outputs that meet a pixel, and those pixels."""
    window, sizes = kernel.shape[:3], x.shape[-4:-1]
    offset = (window[0] - 1, (window[1] - 1) // 2, (window[2] - 1) // 2)
    for tap in np.ndindex(*window):
        shift = [i - o for i, o in zip(tap, offset)]
        ahead = [slice(max(0, -s), max(0, min(n, n - s))) for s, n in zip(shift, sizes)]
        there = [slice(max(0, s), max(0, min(n, n + s))) for s, n in zip(shift, sizes)]
        yield tap, (..., *ahead, slice(None)), (..., *there, slice(None))
