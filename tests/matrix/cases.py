"""The dtypes and magnitudes that every operation is tried on, and the shapes of linear_scan's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

Arrays = dict[str, Any]

REAL = ("float32", "float64", "bfloat16", "float16")
COMPLEX = ("complex64", "complex128")
EXACT = ("float64", "complex128")


@dataclass(frozen=True)
class Case:
    """Lanes of the result, their time axis, and what the operands are.

    Attributes:
      gate: lanes of every gate,
      lanes: but for these operands, by name; None for an operand left out.
      sizes: of the components; empty for the operation's own.
      real: gates that are real where the rest is complex.
      options: further arguments of the operation.
    """

    shape: tuple[int, ...]
    axis: int
    gate: tuple[int, ...]
    h0: bool = True
    reset: str = ""  # "", "step" (one flag a step), "sequence" (one a step and batch item) or "element"
    magnitude: str = "below one"
    lanes: tuple[tuple[str, tuple[int, ...] | None], ...] = ()
    sizes: tuple[int, ...] = ()
    real: tuple[str, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        size = lambda shape: "-" if shape is None else "x".join(map(str, shape)) or "scalar"
        return " ".join(
            [
                f"{size(self.shape)} axis{self.axis} gate{size(self.gate)}",
                *(f"{name}{size(lanes)}" for name, lanes in self.lanes),
                *([f"components{size(self.sizes)}"] if self.sizes else []),
                *(f"real-{name}" for name in self.real),
                *(f"{name}={value}" for name, value in self.options),
                *([] if self.h0 else ["no-h0"]),
                *([f"reset-{self.reset}"] if self.reset else []),
                *([] if self.magnitude == "below one" else [self.magnitude]),
            ]
        )

    def lanes_of(self, name: str, otherwise: tuple[int, ...]) -> tuple[int, ...] | None:
        return dict(self.lanes).get(name, otherwise)

    def dtype_of(self, name: str, dtype: Any) -> Any:
        return {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype) if name in self.real else dtype


SHAPES = [
    # time leading: contiguous lanes, whole vectors and tails
    Case((7, 40), 0, (7, 40)),
    Case((7, 40), 0, (1, 40)),
    Case((7, 40), 0, (7, 1)),
    Case((7, 40), 0, ()),
    Case((65, 33), 0, (33,), h0=False),
    Case((1, 600), 0, (1, 600)),
    Case((2, 600), 0, (600,)),
    Case((3, 9000), 0, (3, 9000)),
    Case((3, 9000), 0, (1, 1)),
    # (batch, time, channels) and deeper
    Case((3, 9, 50), 1, (9, 50)),
    Case((3, 9, 50), 1, (3, 1, 50)),
    Case((3, 9, 50), 1, (3, 9, 1)),
    Case((3, 9, 50), 1, (1, 1, 1), h0=False),
    Case((2, 70, 4, 33), 1, (1, 1, 4, 1)),
    Case((2, 70, 4, 33), 1, (2, 1, 1, 33)),
    Case((2, 5, 3, 4, 17), 1, (2, 5, 3, 1, 1)),
    Case((17, 11, 64), 1, (11, 64)),
    # time last, or rows too short to be contiguous: gathered
    Case((5, 130), 1, (5, 130)),
    Case((5, 130), 1, (5, 1)),
    Case((5, 130), 1, (130,)),
    Case((40, 67, 3), 1, (40, 67, 3)),
    Case((40, 67, 3), 1, (3,)),
    Case((40, 67, 3), 1, (1, 67, 1)),
    Case((131,), 0, (131,)),
    Case((131,), 0, ()),
    # steps at the edges of unrolling and of tiles
    *(Case((steps, 24), 0, (steps, 24)) for steps in (2, 3, 4, 5, 64, 127)),
    *(Case((3, steps), -1, (3, steps)) for steps in (1, 2, 63, 64, 65, 128, 129)),
    # nothing to do
    Case((0, 4), 0, (1, 4)),
    Case((5, 0), 0, (5, 1)),
    Case((0, 5, 3), 1, (1, 1, 3)),
]
RESETS = [
    Case((30, 40), 0, (30, 40), reset="step"),
    Case((30, 40), 0, (1, 40), reset="step", h0=False),
    Case((30, 40), 0, (30, 1), reset="step"),
    Case((30, 40), 0, (30, 40), reset="element"),
    Case((30, 40), 0, (40,), reset="element"),
    Case((4, 70, 20), 1, (70, 20), reset="sequence"),
    Case((4, 70), 1, (4, 70), reset="sequence"),
    Case((4, 70), 1, (1, 1), reset="step"),
]
MAGNITUDES = [
    Case((200, 20), 0, (200, 20), magnitude=magnitude) for magnitude in ("zero", "near one", "one", "above one")
]
ALL = SHAPES + RESETS + MAGNITUDES
# Gate elements summed over, gathered and not, with and without flags: what a backward pass has to get right.
GRADIENTS = [case for case in ALL if 0 not in case.shape and case.shape != (3, 9000)] + [Case((3, 2100), 0, (1, 1))]

_MODULUS = {
    "zero": (0, 0),
    "below one": (0.2, 0.95),
    "near one": (0.999, 1.001),
    "one": (1, 1),
    "above one": (1.0, 1.02),
}


def random_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    values = rng.normal(size=shape)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        values = values + 1j * rng.normal(size=shape)
    return values.astype(jnp.dtype(dtype))


def random_gate(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, magnitude: str) -> np.ndarray:
    """Transitions of the modulus named, with any sign or phase."""
    low, high = _MODULUS[magnitude]
    direction = random_array(rng, shape, "complex128" if "complex" in str(dtype) else "float64")
    direction = direction / np.abs(direction)
    return (rng.uniform(low, high, shape) * direction).astype(jnp.dtype(dtype))


def make_operands(case: Case, gates: tuple[str, ...], dtype: Any, rng: np.random.Generator) -> Arrays:
    """Operands of linear_scan in `dtype`, the gates of the case's modulus and any sign or phase."""
    operands: Arrays = {name: random_gate(rng, case.gate, dtype, case.magnitude) for name in gates}
    operands["x"] = random_array(rng, case.shape, dtype)
    return operands | random_state(case, dtype, rng)


def random_state(case: Case, dtype: Any, rng: np.random.Generator, components: tuple[int, ...] = ()) -> Arrays:
    """h0 and reset, where the case has them."""
    axis = case.axis % len(case.shape)
    operands: Arrays = {}
    if case.h0:
        half = dtype in ("bfloat16", "float16")
        shape = case.shape[:axis] + case.shape[axis + 1 :] + components
        operands["h0"] = random_array(rng, shape, "float32" if half else dtype)
    if case.reset:
        keep = {"step": (axis,), "sequence": tuple(range(axis + 1)), "element": tuple(range(len(case.shape)))}[
            case.reset
        ]
        shape = tuple(n if d in keep else 1 for d, n in enumerate(case.shape))
        operands["reset"] = rng.random(shape) < 0.2
    return operands


def widened(operands: Arrays) -> Arrays:
    """The same values in float64 or complex128."""
    wide = {}
    for name, value in operands.items():
        kind = jnp.dtype(value.dtype)
        target = (
            bool if kind.kind == "b" else np.complex128 if jnp.issubdtype(kind, jnp.complexfloating) else np.float64
        )
        wide[name] = np.asarray(value).astype(target)
    return wide
