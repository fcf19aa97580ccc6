"""spectral_scan in numpy: a loop over time in complex128, its gradients, and how far rounding may take it."""

from __future__ import annotations

import numpy as np

from tests.fft2 import truth as fft2
from tests.matrix.operations import Arrays, summed_to


def values(operands: Arrays, *, reverse: bool = False, last_only: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(y, final), final with the batch of y."""
    s = states(operands, reverse)
    final = s[0 if reverse else -1] if len(s) else _time_first(operands)[2]
    y = fft2.irfft2(final if last_only else s, operands["x"].shape[-2])
    return y if last_only else np.moveaxis(y, 0, -4), final


def states(operands: Arrays, reverse: bool) -> np.ndarray:
    """All states, time first."""
    k, x_hat, s, reset = _time_first(operands)
    out = np.empty(x_hat.shape, complex)
    for t in _order(x_hat, reverse):
        s = out[t] = np.where(reset[t], x_hat[t], k * s + x_hat[t])
    return out


def gradients(
    operands: Arrays, ct: np.ndarray, ct_final: np.ndarray, *, reverse: bool = False, last_only: bool = False
) -> Arrays:
    """With g_t the cotangent of S_t: dk = sum_t g_t S_{t-1}, dh0 = k g_1, dx_t = rfft2^T(g_t); nothing passes a reset."""
    k, _, h0, reset = _time_first(operands)
    s = states(operands, reverse)
    ct = fft2.irfft2_transpose(ct) if last_only else np.moveaxis(fft2.irfft2_transpose(ct), -4, 0)
    carry, dk, g = np.array(ct_final), np.zeros_like(k), np.empty_like(s)
    order = _order(s, reverse)
    for i, t in reversed(list(enumerate(order))):
        own = ct if last_only and t == order[-1] else 0 if last_only else ct[t]
        g[t] = own + carry
        dk = dk + np.where(reset[t], 0, g[t] * (s[order[i - 1]] if i else h0))
        carry = np.where(reset[t], 0, k * g[t])
    dx = np.moveaxis(fft2.rfft2_transpose(g, operands["x"].shape[-2]), 0, -4)
    grads = {"k_hat": summed_to(dk, operands["k_hat"].shape), "x": summed_to(dx, operands["x"].shape)}
    return grads | ({"h0": summed_to(carry, operands["h0"].shape)} if "h0" in operands else {})


def error_bounds(
    operands: Arrays, eps: float, *, reverse: bool = False, last_only: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds on the error of each channel's frame of y, and of its final state, in the norm over the frame.

    e_t = max|k| e_{t-1} + r |x_hat_t| + 4 eps (|k S_{t-1}| + |S_t|), r the transform's share; |y_t| has that of S_t over
    H W, with each column at its weight, and r of its own.
    """
    k, x_hat, previous, reset = _time_first(operands)
    height, width = operands["x"].shape[-3:-1]
    s, share = states(operands, reverse), fft2.rounding(height, width, eps)
    largest = np.max(np.abs(k), axis=(-3, -2), keepdims=True)
    error = np.zeros_like(largest)
    bounds = np.empty((len(s), *error.shape))
    for t in _order(s, reverse):
        fresh = share * fft2.frame_norm(x_hat[t]) + 4 * eps * fft2.frame_norm(s[t])
        carried = np.where(reset[t], 0, largest * error + 4 * eps * fft2.frame_norm(k * previous))
        bounds[t] = error = carried + fresh
        previous = s[t]
    last = slice(0, 1) if reverse else slice(-1, None)
    of_y = (np.sqrt(2) * bounds + share * fft2.frame_norm(s, fft2.column_weights(width))) / np.sqrt(height * width)
    of_y = of_y[last][0] if last_only else np.moveaxis(of_y, 0, -4)
    return of_y, bounds[last][0] if len(s) else np.zeros_like(largest)


def _time_first(operands: Arrays) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(k, x_hat, h0, reset) over the whole batch, the last two with zeros where absent."""
    k, x = operands["k_hat"], operands["x"]
    batch = np.broadcast_shapes(k.shape[:-3], x.shape[:-4])
    k = np.broadcast_to(k, (*batch, *k.shape[-3:]))
    x_hat = fft2.rfft2(np.moveaxis(np.broadcast_to(x, (*batch, *x.shape[-4:])), -4, 0))
    h0 = np.broadcast_to(operands.get("h0", np.zeros((), complex)), k.shape)
    reset = np.broadcast_to(operands.get("reset", np.zeros((), bool)), (*batch, x.shape[-4]))
    return k, x_hat, h0, np.moveaxis(reset, -1, 0)[..., None, None, None]


def _order(frames: np.ndarray, reverse: bool) -> range:
    return range(len(frames))[:: -1 if reverse else 1]
