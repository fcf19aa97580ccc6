"""How pixels become numbers: (x / 255 - mean) / std by channel, for the device to do where a data set gives uint8."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Normalisation(NamedTuple):
    """mean and std of each channel, of pixels in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """float32 of uint8 (..., 3), on the host."""
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        return (pixels.astype(np.float32) / np.float32(255) - mean) / std


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# x / 127.5 - 1
SYMMETRIC = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
