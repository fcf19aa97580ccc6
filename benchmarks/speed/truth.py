"""What the states and the derivatives should be, in double precision, of a sample of lanes."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.speed.arithmetic import Arithmetic, Parts

LANES = 32
EPSILON = 1e-6
"""Of the central differences: truncation and rounding leave about 1e-9."""


class Truth:
    """The recurrence of (B, T, C, H, W_f) numbers or vectors, checked in a sample of its lanes.

    Gradients are those of the mean |h|^2 over all of h. A lane's gradients are compared along a random direction: what the
    loss becomes where every z of its operands becomes z (1 + d).
    """

    def __init__(self, a: np.ndarray, x: np.ndarray, vectors: bool, nonlinear: bool) -> None:
        self.lanes = (a.shape[0], *a.shape[2:5])
        self.a, self.x = (self._sample(v).astype(np.complex128) for v in (a, x))
        self.vectors, self.nonlinear, self.numbers = vectors, nonlinear, x.size
        random, real = np.random.default_rng(1), not np.iscomplexobj(a)
        self.directions = [
            random.standard_normal(v.shape) + (0 if real else 1j * random.standard_normal(v.shape))
            for v in (self.a, self.x)
        ]
        self.h = self._states(self.a, self.x)
        losses = [self._losses(EPSILON * sign) for sign in (1, -1)]
        self.derivatives = (losses[0] - losses[1]) / (2 * EPSILON)

    def error(self, arithmetic: Arithmetic, h: Parts) -> float:
        """Largest error of the states, relative to the largest; infinite if any is not finite."""
        got = arithmetic.decode(tuple(self._sample(part) for part in h))
        return _relative(np.asarray(got), self.h)

    def gradient_error(self, arithmetic: Arithmetic, gradients: tuple[Parts, Parts]) -> float:
        """Largest error of the directional derivatives, likewise."""
        got = np.zeros_like(self.derivatives)
        for parts, z, d in zip(gradients, (self.a, self.x), self.directions, strict=True):
            for part, tangent in zip(parts, arithmetic.tangent(z, d), strict=True):
                g = self._sample(part)
                g = g.astype(np.complex128 if np.iscomplexobj(g) else np.float64)
                got += (g * tangent).real.reshape(len(g), -1).sum(1)
        return _relative(got, self.derivatives)

    def _sample(self, value) -> np.ndarray:
        """(lanes, T, ...) of evenly spread lanes."""
        count = math.prod(self.lanes)
        chosen = np.unique(np.linspace(0, count - 1, LANES, dtype=int))
        b, *others = np.unravel_index(chosen, self.lanes)
        return np.moveaxis(np.asarray(value), 1, 4)[(b, *others)]

    def _states(self, a: np.ndarray, x: np.ndarray) -> np.ndarray:
        h, states = np.zeros_like(x[:, 0]), np.empty_like(x)
        for t in range(x.shape[1]):
            carried = np.einsum("...ij,...j->...i", a[:, t], h) if self.vectors else a[:, t] * h
            h = carried + x[:, t]
            if self.nonlinear:
                h = h / (1 + np.abs(h))
            states[:, t] = h
        return states

    def _losses(self, epsilon: float) -> np.ndarray:
        a, x = (z * (1 + epsilon * d) for z, d in zip((self.a, self.x), self.directions, strict=True))
        return (np.abs(self._states(a, x)) ** 2).reshape(len(x), -1).sum(1) / self.numbers


def _relative(got: np.ndarray, expected: np.ndarray) -> float:
    if not np.isfinite(got).all():
        return math.inf
    return float(np.abs(got - expected).max() / np.abs(expected).max())
