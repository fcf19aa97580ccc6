"""coupled_scan in the shared matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import cssm_kernels
from cssm_kernels.coupled_scan import rules
from tests.matrix.cases import Arrays, Case, random_array, random_gate, random_state
from tests.matrix.operations.matrix import random_matrices
from tests.matrix.operations.operation import Operation, as_gradients, lanes, order, state_of, time_first

_NAMES = ("G", "K", "x", "b", "c", "h0")
_COMPONENTS = {"G": 2, "K": 2, "x": 1, "b": 1, "c": 1, "h0": 1}


def _call(operands: Arrays, **options: Any) -> tuple[Any, Any]:
    return cssm_kernels.coupled_scan(
        *(operands.get(name) for name in _NAMES), reset=operands.get("reset"), return_final=True, **options
    )


def _make(case: Case, dtype: Any, rng: np.random.Generator) -> Arrays:
    """G is real, of rank one and nowhere above 1, so that K's directions are all that G o K may stretch."""
    (k,) = case.sizes or (2,)
    real = {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)
    size = "below one" if case.magnitude == "below one" else "one"
    rows, columns = (random_gate(rng, (*case.gate, *own), "float64", size) for own in ((k, 1), (1, k)))
    operands: Arrays = {"G": (rows * columns).astype(random_array(rng, (), real).dtype)}
    operands["K"] = random_matrices(rng, case.lanes_of("K", case.gate), k, case.dtype_of("K", dtype), case.magnitude)
    operands["x"] = random_array(rng, (*case.lanes_of("x", case.shape), k), dtype)
    for name in ("b", "c"):
        shape = case.lanes_of(name, case.gate)
        if shape is not None:
            operands[name] = random_array(rng, (*shape, k), case.dtype_of(name, dtype))
    return operands | random_state(case, dtype, rng, (k,))


def _time_first(operands: Arrays, axis: int) -> Any:
    shape, x = lanes(operands, _COMPONENTS), operands["x"]
    one = np.ones(x.shape[-1:], x.real.dtype)
    G, K, x, b, c = (time_first(operands.get(name, one), shape, axis, _COMPONENTS[name]) for name in _NAMES[:-1])
    return G, K, x, b, c, *state_of(operands, shape, axis, x.dtype, x.shape[-1:])


def _times(A: np.ndarray, h: np.ndarray) -> np.ndarray:
    return (A * h[..., None, :]).sum(-1)


def _states(operands: Arrays, axis: int, reverse: bool) -> tuple[np.ndarray, np.ndarray]:
    """(h_{t-1} after reset, h_t), time leading."""
    G, K, x, b, _, h, reset = _time_first(operands, axis)
    before, after = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    for t in order(len(x), reverse):
        before[t] = np.where(reset[t], 0, h)
        after[t] = h = _times(G[t] * K[t], before[t]) + b[t] * x[t]
    return before, after


def _truth(operands: Arrays, *, axis: int = 0, reverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    *_, c, h0, _ = _time_first(operands, axis)
    _, h = _states(operands, axis, reverse)
    return np.moveaxis(c * h, 0, axis), h[0 if reverse else -1] if len(h) else h0


def _error_bound(
    operands: Arrays, eps: float, *, axis: int = 0, reverse: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """As matrix_scan's, with a rounding of G o K and one of b x (complex: 3); then |c_t| e_t and a rounding of c h."""
    G, K, x, b, c, h0, reset = _time_first(operands, axis)
    before, h = _states(operands, axis, reverse)
    error, errors, k = np.zeros(h0.shape), np.empty(h.shape), x.shape[-1]
    for t in order(len(h), reverse):
        carried = np.where(reset[t], 0, error) + (k + 4) * eps * np.abs(before[t])
        errors[t] = error = _times(np.abs(G[t] * K[t]), carried) + (k + 6) * eps * np.abs(b[t] * x[t])
    return np.moveaxis(np.abs(c) * errors + 3 * eps * np.abs(c * h), 0, axis), error


def _gradients(
    operands: Arrays, ct: np.ndarray, ct_final: np.ndarray, *, axis: int = 0, reverse: bool = False
) -> Arrays:
    """g_t = c_t ct_t + A_{t+1}^T g_{t+1}, A = G o K; dx = b g, db = x g, dc = ct h, dh0 = A_1^T g_1; dA_t = g_t h_{t-1}^T,
    dG = K o dA, dK = G o dA."""
    G, K, x, b, c, _, reset = _time_first(operands, axis)
    before, h = _states(operands, axis, reverse)
    ct, g, carry = np.moveaxis(ct, axis, 0), np.empty_like(h), np.array(ct_final)
    for t in order(len(h), not reverse):
        g[t] = c[t] * ct[t] + carry
        carry = np.where(reset[t], 0, _times(np.swapaxes(G[t] * K[t], -1, -2), g[t]))
    dA = g[..., :, None] * before[..., None, :]
    gradients = {"G": K * dA, "K": G * dA, "x": b * g, "b": x * g, "c": ct * h}
    gradients = {name: np.moveaxis(v, 0, axis) for name, v in gradients.items()}
    return as_gradients(operands, gradients | {"h0": carry})


def _lanes(**shapes: tuple[int, ...] | None) -> Any:
    return tuple(shapes.items())


_BARE = _lanes(b=None, c=None)
_CASES = [
    *(Case((7, 40), 0, (7, 40), sizes=(k,)) for k in (1, 2, 3, 5)),
    Case((4, 5), 0, (4, 5), lanes=_lanes(c=None), sizes=(16,)),
    Case((3, 1100), 0, (1, 1), lanes=_BARE),
    Case((5, 130), -1, (5, 1), lanes=_lanes(K=(130,), b=None), sizes=(3,)),
    # gates of each frame that channels share, kernels of each channel that frames share
    Case((2, 6, 3, 20), 1, (2, 6, 3, 1), lanes=_lanes(K=(3, 20)), sizes=(1,)),
    Case((2, 6, 3, 20), 1, (2, 6, 3, 1), lanes=_lanes(K=(3, 20), c=(6, 1, 1)), h0=False, real=("b", "c"), sizes=(3,)),
    Case((3, 9, 17), 1, (9, 1), lanes=_lanes(K=(3, 1, 17), x=(9, 17)), real=("K",), reset="step"),
    Case((0, 4), 0, (1, 4)),
    Case((30, 40), 0, (40,), reset="element", sizes=(3,)),
    Case((4, 70, 20), 1, (70, 20), reset="sequence", sizes=(1,)),
    *(Case((200, 20), 0, (200, 20), magnitude=m) for m in ("zero", "one", "above one")),
]


def _draw_options(draw: Any, rank: int, axis: int) -> dict[str, Any]:
    return dict(sizes=(draw(st.sampled_from([1, 2, 3, 5])),), real=draw(st.sampled_from([(), ("K",), ("b", "c")])))


# Without "xla", whose associative scan of matrices takes long to compile: tests/coupled_scan tries it.
COUPLED_SCAN = Operation(
    name="coupled_scan",
    call=_call,
    truth=_truth,
    error_bound=_error_bound,
    gradients=_gradients,
    make=_make,
    main="x",
    gates=("G", "K", "b", "c"),
    components=_COMPONENTS,
    rules=rules,
    cases=_CASES,
    gradient_cases=[case for case in _CASES if 0 not in case.shape][::2],
    small=[
        Case((2, 4, 3), 1, (4, 1), lanes=_lanes(K=(3,), c=None), real=("b",)),
        Case((5, 3), 0, (5, 1), lanes=_lanes(K=(3,)), reset="step", sizes=(1,)),
    ],
    draw_options=_draw_options,
    implementations=(None, "cpu", "sequential"),
    native=(None, "cpu"),
    custom_call="cssm_lane_scan",
)
