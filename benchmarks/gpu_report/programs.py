"""The programs of the report: ours, and the same by XLA alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from cssm_kernels import linear_scan, spectral_scan

STEPS, LANES = 1024, 65_536
FRAMES = (1, 1024, 32, 32, 32)


@dataclass(frozen=True)
class Program:
    """Attributes: minimum_bytes: what any form must read and write once; ours: whether it has kernels of this library."""

    name: str
    function: Callable[..., Any]
    shapes: list[jax.ShapeDtypeStruct]
    minimum_bytes: int
    ours: bool


def programs() -> list[Program]:
    """The whole report, in order."""
    return [*_linear(), *_spectral()]


def _with_gradient(function):
    """Both passes: the result and its cotangents pulled back to every operand."""

    def both(*operands_and_cotangent):
        *operands, cotangent = operands_and_cotangent
        result, vjp = jax.vjp(function, *operands)
        return result, vjp(cotangent)

    return both


def _linear():
    x = jax.ShapeDtypeStruct((STEPS, LANES), jnp.complex64)
    size, state = STEPS * LANES * 8, LANES * 8
    for kind, a, a_bytes in (("constant", jax.ShapeDtypeStruct((LANES,), jnp.complex64), state), ("varying", x, size)):
        for implementation in (None, "xla"):
            who = "linear_scan" if implementation is None else "associative_scan"

            def scan(a, x, implementation=implementation):
                return linear_scan(a, x, implementation=implementation)

            ours = implementation is None
            yield Program(f"{who}, a {kind}", scan, [a, x], a_bytes + 2 * size, ours)
            # Forward: a, x -> h. Backward: a, h, ct -> da, dx.
            minimum = a_bytes + 2 * size + 2 * a_bytes + 3 * size
            yield Program(f"{who}, a {kind}, + backward", _with_gradient(scan), [a, x, x], minimum, ours)


def _spectral():
    _, steps, height, width, channels = FRAMES
    x = jax.ShapeDtypeStruct(FRAMES, jnp.float32)
    k = jax.ShapeDtypeStruct((height, width // 2 + 1, channels), jnp.complex64)
    size = steps * height * width * channels * 4
    for implementation in (None, "xla"):
        who = "spectral_scan" if implementation is None else "sCSSM layer of XLA"

        def scan(x, k, implementation=implementation):
            return spectral_scan(x, k, implementation=implementation)

        ours = implementation is None
        yield Program(f"{who}", scan, [x, k], 2 * size, ours)

        def gradient(x, k, ct, scan=scan):
            return jax.vjp(scan, x, k)[1](ct)

        yield Program(f"{who}, gradient", gradient, [x, k, x], 3 * size, ours)
