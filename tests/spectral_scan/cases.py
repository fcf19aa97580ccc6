"""The shapes, dtypes and magnitudes spectral_scan is tried on."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cssm_kernels import spectral_scan
from cssm_kernels.spectral_scan.op import IMPLEMENTATIONS
from tests.matrix.cases import random_array, random_gate
from tests.matrix.operations import Arrays

HALF = ("bfloat16", "float16")
# Rounding of the arithmetic, and of a stored frame.
EPS = {"float32": 2**-24, "bfloat16": 2**-24, "float16": 2**-24, "float64": 2**-53}
STORED_EPS = {"bfloat16": 2**-8, "float16": 2**-11}

# Those that run on a CPU; tests/gpu_offline/spectral has "cuda".
ON_CPU = tuple(name for name in IMPLEMENTATIONS if name != "cuda")
each_implementation = pytest.mark.parametrize("implementation", ON_CPU)
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


@dataclass(frozen=True)
class Case:
    """Batches of x and k_hat, steps, (height, width, channels), and which optional operands there are."""

    x_batch: tuple[int, ...]
    steps: int
    frame: tuple[int, int, int]
    k_batch: tuple[int, ...] = ()
    h0: tuple[int, ...] | None = None  # batch of the initial state
    reset: tuple[int, ...] | None = None  # batch of the flags
    magnitude: str = "below one"

    def __str__(self) -> str:
        absent = {"h0": None, "reset": None, "k_batch": (), "magnitude": "below one"}
        given = [f"{name} {getattr(self, name)}" for name, value in absent.items() if getattr(self, name) != value]
        return " ".join([f"x{self.x_batch}x{self.steps}x{self.frame}", *given]).replace(", ", ",")

    @property
    def batch(self) -> tuple[int, ...]:
        return np.broadcast_shapes(self.x_batch, self.k_batch)

    @property
    def spectrum(self) -> tuple[int, int, int]:
        height, width, channels = self.frame
        return height, width // 2 + 1, channels


# Steps at the edges of the segments between checkpoints: 8 steps in frames of up to 1024 pixels, 2 in those of 4096.
STEPS = [
    *(Case((2,), steps, (4, 6, 3), h0=(2,)) for steps in (1, 2, 7, 8, 9, 16, 17, 19)),
    Case((), 7, (40, 40, 2), h0=()),
    *(Case((), steps, (64, 70, 2)) for steps in (2, 3, 5)),
]
FRAMES = [
    *(Case((2,), 9, (5, 6, channels), h0=(1,)) for channels in (1, 16, 17, 40)),
    *(Case((2,), 3, (height, width, 3)) for height in (1, 2, 7, 8) for width in (1, 2, 9, 10)),
    Case((), 3, (13, 11, 130)),
    Case((), 3, (22, 17, 33)),
]
BATCHES = [
    Case((), 9, (4, 5, 3)),
    Case((3,), 9, (4, 5, 3), k_batch=(3,), h0=(3,)),
    Case((2, 3), 9, (4, 5, 3), k_batch=(1, 3), h0=(2, 1)),
    Case((2, 1), 9, (4, 5, 3), k_batch=(3,), h0=(3,)),
    Case((), 9, (4, 5, 3), k_batch=(2, 3)),
    Case((1,), 9, (4, 5, 3), k_batch=(3,), h0=()),
    Case((70,), 2, (2, 3, 3)),
    Case((3, 2, 2), 2, (4, 5, 3), k_batch=(3, 1, 2), h0=(3, 1, 1)),
]
RESETS = [
    Case((2,), 19, (4, 5, 3), reset=()),
    Case((3,), 19, (4, 5, 3), h0=(3,), reset=(3,)),
    Case((2, 3), 9, (4, 5, 3), k_batch=(3,), h0=(), reset=(2, 1)),
    Case((), 9, (4, 5, 3), k_batch=(3,), reset=(3,)),
]
MAGNITUDES = [
    Case((), 100, (5, 4, 3), h0=(), magnitude=magnitude) for magnitude in ("zero", "near one", "one", "above one")
]
ALL = STEPS + FRAMES + BATCHES + RESETS + MAGNITUDES
# A few of each, and fewer still for the forms that XLA takes seconds to compile.
SOME = [STEPS[4], STEPS[-1], FRAMES[6], FRAMES[9], *BATCHES[1:6], *RESETS[1:], MAGNITUDES[3]]
FEW = [FRAMES[9], BATCHES[4], RESETS[2], MAGNITUDES[3]]


def complex_dtype(dtype: str) -> str:
    return "complex128" if dtype == "float64" else "complex64"


def make_operands(case: Case, dtype: str, rng: np.random.Generator) -> Arrays:
    """Operands by name, absent ones left out. Neither k_hat nor h0 is Hermitian."""
    wide = complex_dtype(dtype)
    operands = {
        "k_hat": random_gate(rng, (*case.k_batch, *case.spectrum), wide, case.magnitude),
        "x": random_array(rng, (*case.x_batch, case.steps, *case.frame), dtype),
    }
    if case.h0 is not None:
        operands["h0"] = random_array(rng, (*case.h0, *case.spectrum), wide)
    if case.reset is not None:
        operands["reset"] = rng.random((*case.reset, case.steps)) < 0.25
    return operands


def make_cotangents(case: Case, dtype: str, last_only: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Of y and of the final state."""
    steps = () if last_only else (case.steps,)
    y = random_array(rng, (*case.batch, *steps, *case.frame), dtype)
    return y, random_array(rng, (*case.batch, *case.spectrum), complex_dtype(dtype))


def call(operands: Arrays, **options) -> tuple[jax.Array, jax.Array]:
    """(y, final)"""
    h0, reset = operands.get("h0"), operands.get("reset")
    return spectral_scan(operands["x"], operands["k_hat"], h0, reset=reset, return_final=True, **options)


def compiled(operands: Arrays, **options) -> tuple[jax.Array, jax.Array]:
    """`call` under jit."""
    return jax.jit(lambda o: call(o, **options))(operands)


def split_flags(operands: Arrays) -> tuple[Arrays, Arrays]:
    """(what is differentiated, the flags)"""
    flags = {name: value for name, value in operands.items() if name == "reset"}
    return {name: value for name, value in operands.items() if name != "reset"}, flags


def pulled_back(operands: Arrays, cotangents, **options) -> tuple[tuple[jax.Array, jax.Array], Arrays]:
    """((y, final), gradients by name)"""
    primals, flags = split_flags(operands)
    outs, vjp = jax.vjp(lambda o: call({**o, **flags}, **options), primals)
    return outs, vjp(cotangents)[0]


def smooth_loss(y: jax.Array, final: jax.Array) -> jax.Array:
    """A real number that depends on every output, with no derivative that vanishes."""
    return jnp.sum(jnp.abs(y) ** 2 * jnp.cos(y)) + jnp.sum(jnp.abs(final) ** 2)
