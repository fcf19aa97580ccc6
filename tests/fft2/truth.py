"""The transforms and their transposes as sums over explicit DFT matrices in complex128: no fast algorithm, no shared bug."""

from __future__ import annotations

import numpy as np


def dft(n: int) -> np.ndarray:
    """(n, n): exp(-2 pi i j k / n), the product j k reduced first so that no angle is large."""
    return np.exp(-2j * np.pi * (np.outer(np.arange(n), np.arange(n)) % n) / n)


def half_dft(width: int) -> np.ndarray:
    """(W//2 + 1, W)"""
    return dft(width)[: width // 2 + 1]


def column_weights(width: int) -> np.ndarray:
    """(W//2 + 1, 1): columns of the whole spectrum that one of the half stands for."""
    f = np.arange(width // 2 + 1)
    return np.where((f == 0) | (2 * f == width), 1.0, 2.0)[:, None]


def rfft2(x: np.ndarray) -> np.ndarray:
    """(..., H, W, C) real -> (..., H, W//2 + 1, C)"""
    rows = np.einsum("...hwc,fw->...hfc", x, half_dft(x.shape[-2]), optimize=True)
    return np.einsum("...hfc,vh->...vfc", rows, dft(x.shape[-3]), optimize=True)


def irfft2(x_hat: np.ndarray, width: int) -> np.ndarray:
    """x[h, w] = sum_f w_f Re(sum_v x_hat[v, f] exp(2 pi i (v h / H + f w / W))) / (H W)

    The real part of each column by itself is what drops the imaginary parts of the columns f = 0 and W/2.
    """
    height = x_hat.shape[-3]
    columns = np.einsum("...vfc,vh->...hfc", x_hat, dft(height).conj(), optimize=True) * column_weights(width)
    return np.einsum("...hfc,fw->...hwc", columns, half_dft(width).conj(), optimize=True).real / (height * width)


def rfft2_transpose(ct: np.ndarray, width: int) -> np.ndarray:
    """The real x with sum x dx = Re sum ct rfft2(dx) for each dx: cotangents without a conjugate, as JAX's."""
    columns = np.einsum("...vfc,vh->...hfc", ct, dft(ct.shape[-3]), optimize=True)
    return np.einsum("...hfc,fw->...hwc", columns, half_dft(width), optimize=True).real


def irfft2_transpose(ct: np.ndarray) -> np.ndarray:
    """The complex c with Re sum c ds = sum ct irfft2(ds) for each ds."""
    height, width = ct.shape[-3:-1]
    return column_weights(width) / (height * width) * rfft2(ct).conj()


def frame_norm(frames: np.ndarray, weights: np.ndarray | float = 1.0) -> np.ndarray:
    """Root of the (weighted) sum of squares over each channel's frame, with the frame's axes kept."""
    return np.sqrt(np.sum(weights * np.abs(frames) ** 2, axis=(-3, -2), keepdims=True))


def rounding(height: int, width: int, eps: float) -> float:
    """Norm of the error of a fast transform over the norm of its result: some eps for each doubling of the length."""
    return 4 * eps * np.log2(4 * height * width)
