"""What the shared matrix needs to know of an operation, and what their truths in NumPy have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.matrix.cases import COMPLEX, REAL, Arrays, Case

Implementation = str | None


@dataclass(frozen=True)
class Operation:
    """A recurrence, its truth, and what it is tried on.

    Attributes:
      call: (operands, **options) -> (outputs, final state); operands by name, absent ones left out.
      truth: the same in NumPy, a step at a time, in whatever precision it is given.
      error_bound: (operands, eps, **options) -> elementwise bounds on the rounding errors of both, for an evaluation step by
        step in precision eps.
      gradients: (operands, cotangents of outputs and final state, **options) -> gradients by name, in NumPy.
      make: (case, dtype, rng) -> operands.
      main: the operand that has the shape and the dtype of the outputs, where nothing is broadcast.
      is_linear: linear in that and h0, taken together.
      gates: the operands whose lanes may be broadcast in any dimension.
      components: how many trailing dimensions of an operand are components, by name; none if not here.
      rules: the operation's three primitives.
      cases: what values are tried on, and
      gradient_cases: gradients; no empty ones.
      reference_cases: what values and gradients of the references are tried on, if not all of those.
      small: for derivatives by finite differences.
      draw_options: (draw, rank, axis) -> more arguments of a Case for Hypothesis.
      implementations: names to pass as `implementation=`; None is the default.
      native: those that run as one custom call, without memory or compile time growing with T.
      bare: the operation alone, where `call` is more than that.
      dtypes: those of `main`.
    """

    name: str
    call: Callable[..., tuple[Any, Any]]
    truth: Callable[..., tuple[np.ndarray, np.ndarray]]
    error_bound: Callable[..., tuple[np.ndarray, np.ndarray]]
    gradients: Callable[..., Arrays]
    make: Callable[[Case, Any, np.random.Generator], Arrays]
    main: str
    gates: tuple[str, ...]
    rules: Any
    cases: Sequence[Case]
    gradient_cases: Sequence[Case]
    small: Sequence[Case]
    implementations: tuple[Implementation, ...]
    native: tuple[Implementation, ...] = ()
    custom_call: str = ""
    components: Mapping[str, int] = field(default_factory=dict)
    bare: Callable[..., tuple[Any, Any]] | None = None
    dtypes: tuple[str, ...] = REAL + COMPLEX
    is_linear: bool = True
    reference_cases: Sequence[Case] | None = None
    draw_options: Callable[..., dict[str, Any]] = lambda draw, rank, axis: {}

    @property
    def primitives(self) -> tuple[Implementation, ...]:
        """Implementations that differentiate by rules of their own: the native ones, or the default where there is none."""
        return tuple(name for name in self.native if name is not None) or (None,)

    @property
    def alone(self) -> Callable[..., tuple[Any, Any]]:
        return self.bare or self.call

    @property
    def references(self) -> tuple[Implementation, ...]:
        """The others that have a name."""
        return tuple(name for name in self.implementations if name is not None and name not in self.native)


def each(operations: Iterable[Operation], of: Callable[[Operation], Iterable[Implementation]]) -> list[Any]:
    """(operation, implementation), for `pytest.mark.parametrize`."""
    return [(operation, name) for operation in operations for name in of(operation)]


def lanes(operands: Arrays, components: Mapping[str, int]) -> tuple[int, ...]:
    """What the lanes of all operands broadcast to."""
    shapes = [
        v.shape[: v.ndim - components.get(name, 0)] for name, v in operands.items() if name not in ("h0", "reset")
    ]
    return np.broadcast_shapes(*shapes)


def time_first(value: np.ndarray, shape: tuple[int, ...], axis: int, components: int = 0) -> np.ndarray:
    """`value` broadcast to these lanes, with time leading."""
    own = value.shape[value.ndim - components :]
    return np.moveaxis(np.broadcast_to(value, shape + own), axis, 0)


def state_of(operands: Arrays, shape: tuple[int, ...], axis: int, dtype: Any, components: tuple[int, ...] = ()) -> Any:
    """(the initial state, reset with time leading and as many dimensions in all as a state)"""
    h0 = np.broadcast_to(operands.get("h0", np.zeros((), dtype)), shape[:axis] + shape[axis + 1 :] + components)
    reset = time_first(operands.get("reset", np.zeros((1,) * len(shape), bool)), shape, axis)
    return h0, reset.reshape(reset.shape + (1,) * len(components))


def order(steps: int, reverse: bool) -> range:
    """Times, as they are run through."""
    return range(steps)[:: -1 if reverse else 1]


def as_gradients(operands: Arrays, gradients: Arrays) -> Arrays:
    """Each summed to its operand's shape, real for a real operand."""
    out = {}
    for name, operand in operands.items():
        if name != "reset":
            gradient = summed_to(gradients[name], operand.shape)
            out[name] = gradient if np.iscomplexobj(operand) else gradient.real
    return out


def summed_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    x = x.sum(tuple(range(x.ndim - len(shape))))
    return x.sum(tuple(d for d, n in enumerate(shape) if n != x.shape[d]), keepdims=True)
