"""The programs of the report: ours, and the same by XLA alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from cssm.layers import NoGateCSSM

from cssm_kernels import linear_scan, spectral_scan

STEPS, LANES = 1024, 65_536
FRAMES = (1, 1024, 32, 32, 32)
# Sequences enough to fill a GPU, where time is not cut into chunks; as many frames, about.
MANY = (40, 32, 32, 32, 32)
ALONE = "spectral_scan"


@dataclass(frozen=True)
class Program:
    """A function to compile.

    Attributes: build: implementation -> the function; shapes: of its arguments, pytrees of ShapeDtypeStruct; minimum_bytes:
    what any form must read and write once; kernels: the implementation with our kernels, or None where XLA is on its own;
    launches_of: the program whose launches of ours these are, if not its own.
    """

    name: str
    build: Callable[[str | None], Callable[..., Any]]
    shapes: tuple[Any, ...]
    minimum_bytes: int
    kernels: str | None
    launches_of: str = ""

    def compiled_form(self) -> Callable[..., Any]:
        """What users on the GPU get, or XLA's own."""
        return self.build(None if self.kernels else "xla")

    def interpreted_form(self) -> Callable[..., Any]:
        """The same kernels, for `tools.gpu_offline`."""
        return self.build(self.kernels)


def programs() -> list[Program]:
    """The whole report, in order."""
    return [*_linear(), *_spectral(), *_layer()]


def _linear() -> Iterator[Program]:
    def forward(implementation):
        return lambda a, x: linear_scan(a, x, implementation=implementation)

    def both(implementation):
        def run(a, x, ct):
            h, vjp = jax.vjp(forward(implementation), a, x)
            return h, vjp(ct)

        return run

    x = jax.ShapeDtypeStruct((STEPS, LANES), jnp.complex64)
    for kind, gate in (("constant", jax.ShapeDtypeStruct((LANES,), jnp.complex64)), ("varying", x)):
        once = _bytes(gate) + 2 * _bytes(x)  # a, x -> h
        back = 2 * _bytes(gate) + 3 * _bytes(x)  # a, h, ct -> da, dx
        for name, kernels in (("linear_scan", "triton"), ("associative_scan", None)):
            yield Program(f"{name}, a {kind}", forward, (gate, x), once, kernels)
            yield Program(f"{name}, a {kind}, + backward", both, (gate, x, x), once + back, kernels)


def _spectral() -> Iterator[Program]:
    def forward(implementation):
        return lambda x, k: spectral_scan(x, k, implementation=implementation)

    for frames in (FRAMES, MANY):
        *_, height, width, channels = frames
        x = jax.ShapeDtypeStruct(frames, jnp.float32)
        k = jax.ShapeDtypeStruct((height, width // 2 + 1, channels), jnp.complex64)
        for name, kernels in ((ALONE, "cuda"), ("rfft2, associative_scan, irfft2", None)):
            name += " of many" if frames == MANY else ""
            yield Program(name, forward, (x, k), 2 * _bytes(x), kernels)
            yield Program(f"{name}, + backward", _with_gradient(forward), (x, k, x), 5 * _bytes(x), kernels)


def _layer() -> Iterator[Program]:
    def forward(implementation):
        apply = NoGateCSSM(channels=FRAMES[-1], implementation=implementation).apply
        return lambda x, params: apply(params, x)

    x = jax.ShapeDtypeStruct(FRAMES, jnp.float32)
    params = jax.eval_shape(NoGateCSSM(channels=FRAMES[-1]).init, jax.random.key(0), x)
    for name, kernels in (("NoGateCSSM", "cuda"), ("NoGateCSSM of XLA", None)):
        alone = ALONE if kernels else ""
        yield Program(name, forward, (x, params), 2 * _bytes(x), kernels, alone)
        both = _with_gradient(forward)
        yield Program(
            f"{name}, + backward", both, (x, params, x), 5 * _bytes(x), kernels, alone and f"{alone}, + backward"
        )


def _with_gradient(forward: Callable[[str | None], Callable[..., Any]]) -> Callable[[str | None], Callable[..., Any]]:
    """Both passes, x -> y and x, ct -> dx, with the gradient of the transition or the parameters."""

    def of(implementation):
        def run(x, parameters, ct):
            y, vjp = jax.vjp(forward(implementation), x, parameters)
            return y, vjp(ct)

        return run

    return of


def _bytes(shape: jax.ShapeDtypeStruct) -> int:
    return shape.size * jnp.dtype(shape.dtype).itemsize
