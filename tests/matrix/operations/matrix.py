"""matrix_scan in the shared matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import cssm_kernels
from cssm_kernels.matrix_scan import rules
from tests.matrix.cases import Arrays, Case, random_array, random_gate, random_state
from tests.matrix.operations.operation import Operation, as_gradients, lanes, order, state_of, time_first

_COMPONENTS = {"A": 2, "x": 1, "h0": 1}


def _call(operands: Arrays, **options: Any) -> tuple[Any, Any]:
    return cssm_kernels.matrix_scan(
        operands["A"], operands["x"], operands.get("h0"), reset=operands.get("reset"), return_final=True, **options
    )


def _make(case: Case, dtype: Any, rng: np.random.Generator) -> Arrays:
    (k,) = case.sizes or (2,)
    A = random_matrices(rng, case.gate, k, case.dtype_of("A", dtype), case.magnitude)
    x = random_array(rng, (*case.lanes_of("x", case.shape), k), dtype)
    return {"A": A, "x": x} | random_state(case, dtype, rng, (k,))


def random_matrices(rng: np.random.Generator, lanes: tuple[int, ...], k: int, dtype: Any, magnitude: str) -> np.ndarray:
    """Transitions that stretch no vector, in no direction, by more or less than the modulus named."""
    directions = random_array(rng, (*lanes, k, k), "complex128" if "complex" in str(dtype) else "float64")
    modulus = np.abs(random_gate(rng, (*lanes, 1, 1), "float64", magnitude))
    return (modulus * np.linalg.qr(directions)[0]).astype(random_array(rng, (), dtype).dtype)


def _time_first(operands: Arrays, axis: int, triangular: str | None) -> Any:
    shape, x = lanes(operands, _COMPONENTS), operands["x"]
    A = operands["A"]
    A = {"upper": np.triu, "lower": np.tril}[triangular](A) if triangular else A
    A, x = time_first(A, shape, axis, 2), time_first(x, shape, axis, 1)
    return A, x, *state_of(operands, shape, axis, x.dtype, x.shape[-1:])


def _times(A: np.ndarray, h: np.ndarray) -> np.ndarray:
    return (A * h[..., None, :]).sum(-1)


def _states(operands: Arrays, axis: int, reverse: bool, triangular: str | None) -> tuple[np.ndarray, np.ndarray]:
    """(h_{t-1} after reset, h_t), time leading."""
    A, x, h, reset = _time_first(operands, axis, triangular)
    before, after = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    for t in order(len(x), reverse):
        before[t] = np.where(reset[t], 0, h)
        after[t] = h = _times(A[t], before[t]) + x[t]
    return before, after


def _truth(
    operands: Arrays, *, axis: int = 0, reverse: bool = False, triangular: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    h0 = _time_first(operands, axis, triangular)[2]
    _, h = _states(operands, axis, reverse, triangular)
    return np.moveaxis(h, 0, axis), h[0 if reverse else -1] if len(h) else h0


def _error_bound(
    operands: Arrays, eps: float, *, axis: int = 0, reverse: bool = False, triangular: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """e_t = |A_t| e_{t-1} + (k + 3) eps (|A_t| |h_{t-1}| + |x_t|): k + 1 terms are summed, complex products within 3."""
    A, x, h0, reset = _time_first(operands, axis, triangular)
    before, _ = _states(operands, axis, reverse, triangular)
    error, errors, k = np.zeros(h0.shape), np.empty(x.shape), x.shape[-1]
    for t in order(len(x), reverse):
        carried = np.where(reset[t], 0, error) + (k + 3) * eps * np.abs(before[t])
        errors[t] = error = _times(np.abs(A[t]), carried) + (k + 3) * eps * np.abs(x[t])
    return np.moveaxis(errors, 0, axis), error


def _gradients(
    operands: Arrays,
    ct: np.ndarray,
    ct_final: np.ndarray,
    *,
    axis: int = 0,
    reverse: bool = False,
    triangular: str | None = None,
) -> Arrays:
    """g_t = ct_t + A_{t+1}^T g_{t+1}; dx = g, dA_t = g_t h_{t-1}^T where A is read, dh0 = A_1^T g_1."""
    A, _, _, reset = _time_first(operands, axis, triangular)
    before, h = _states(operands, axis, reverse, triangular)
    ct, g, carry = np.moveaxis(ct, axis, 0), np.empty_like(h), np.array(ct_final)
    for t in order(len(h), not reverse):
        g[t] = ct[t] + carry
        carry = np.where(reset[t], 0, _times(np.swapaxes(A[t], -1, -2), g[t]))
    dA = g[..., :, None] * before[..., None, :]
    dA = {"upper": np.triu, "lower": np.tril}[triangular](dA) if triangular else dA
    return as_gradients(operands, {"A": np.moveaxis(dA, 0, axis), "x": np.moveaxis(g, 0, axis), "h0": carry})


_UPPER, _LOWER = (("triangular", "upper"),), (("triangular", "lower"),)
_CASES = [
    *(Case((7, 40), 0, (7, 40), sizes=(k,)) for k in (1, 2, 3, 4)),
    Case((9, 20), 0, (9, 20), sizes=(5,)),
    Case((6, 19), 0, (6, 19), sizes=(8,)),
    Case((5, 7), 0, (5, 7), sizes=(16,)),
    Case((7, 40), 0, (1, 40), sizes=(3,)),
    Case((7, 40), 0, ()),
    Case((7, 40), 0, (7, 1), h0=False),
    Case((3, 1100), 0, (1, 1)),
    Case((5, 130), 1, (130,), sizes=(3,)),
    Case((5, 130), -1, (5, 1)),
    Case((131,), 0, (131,), sizes=(3,)),
    Case((3, 9, 25), 1, (3, 1, 25), h0=False),
    Case((2, 7, 3, 4, 5), 1, (2, 7, 3, 1, 1), sizes=(3,)),
    Case((3, 9, 17), 1, (3, 9, 17), lanes=(("x", (9, 1)),)),
    # structural zeros, real transitions
    Case((7, 40), 0, (7, 40), sizes=(3,), options=_UPPER),
    Case((7, 40), 0, (1, 40), sizes=(2,), options=_LOWER),
    Case((4, 6, 9), 1, (6, 9), sizes=(5,), options=_UPPER, real=("A",), h0=False),
    Case((6, 9), 0, (6, 9), sizes=(8,), options=_LOWER, reset="element"),
    Case((7, 40), 0, (7, 40), real=("A",)),
    Case((3, 9, 20), 1, (3, 1, 20), sizes=(3,), real=("A",), reset="step"),
    # steps at the edges
    *(Case((steps, 24), 0, (steps, 24)) for steps in (1, 2, 64, 127)),
    Case((0, 4), 0, (1, 4)),
    Case((5, 0), 0, (5, 1)),
    # resets and magnitudes
    Case((30, 40), 0, (30, 40), reset="step"),
    Case((30, 40), 0, (40,), sizes=(3,), reset="element"),
    Case((4, 70, 20), 1, (70, 20), reset="sequence"),
    *(Case((200, 20), 0, (200, 20), magnitude=m, sizes=(3,)) for m in ("zero", "near one", "one", "above one")),
]


def _draw_options(draw: Any, rank: int, axis: int) -> dict[str, Any]:
    return dict(
        sizes=(draw(st.sampled_from([1, 2, 3, 5])),),
        options=draw(st.sampled_from([(), (), _UPPER, _LOWER])),
        real=draw(st.sampled_from([(), ("A",)])),
    )


MATRIX_SCAN = Operation(
    name="matrix_scan",
    call=_call,
    truth=_truth,
    error_bound=_error_bound,
    gradients=_gradients,
    make=_make,
    main="x",
    gates=("A",),
    components=_COMPONENTS,
    rules=rules,
    cases=_CASES,
    gradient_cases=[case for case in _CASES if 0 not in case.shape][::2],
    small=[
        Case((5, 3), 0, (5, 3)),
        Case((2, 4, 3), 1, (2, 1, 3), sizes=(3,), options=_UPPER),
        Case((5, 3), 0, (), reset="step", real=("A",)),
    ],
    draw_options=_draw_options,
    implementations=(None, "cpu", "xla", "sequential"),
    native=(None, "cpu"),
    custom_call="cssm_lane_scan",
)
