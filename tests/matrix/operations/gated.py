"""gated_scan in the shared matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import cssm_kernels
from cssm_kernels.gated_scan import rules
from tests.matrix.cases import Arrays, Case, random_array, random_gate, random_state
from tests.matrix.operations.operation import Operation, as_gradients, lanes, order, state_of, time_first

_NAMES = ("a", "b", "x", "c", "h0")


def _call(operands: Arrays, **options: Any) -> tuple[Any, Any]:
    return cssm_kernels.gated_scan(
        *(operands.get(name) for name in _NAMES), reset=operands.get("reset"), return_final=True, **options
    )


def _make(case: Case, dtype: Any, rng: np.random.Generator) -> Arrays:
    operands: Arrays = {}
    for name in ("a", "b", "c"):
        shape, own = case.lanes_of(name, case.gate), case.dtype_of(name, dtype)
        if shape is not None:
            magnitude = case.magnitude if name == "a" else "below one"
            operands[name] = random_gate(rng, shape, own, magnitude)
    operands["x"] = random_array(rng, case.lanes_of("x", case.shape), dtype)
    operands |= random_state(case, dtype, rng)
    state_axis = dict(case.options).get("state_axis")
    if "reset" in operands and state_axis is not None:
        operands["reset"] = operands["reset"].any(state_axis, keepdims=True)
    return operands


def _time_first(operands: Arrays, axis: int) -> Any:
    shape, x = lanes(operands, {}), operands["x"]
    c = operands.get("c", np.ones((), x.real.dtype))
    a, b, x, c = (time_first(v, shape, axis) for v in (operands["a"], operands["b"], x, c))
    return a, b, x, c, *state_of(operands, shape, axis, x.dtype)


def _states(operands: Arrays, axis: int, reverse: bool) -> tuple[np.ndarray, np.ndarray]:
    """(h_{t-1} after reset, h_t), time leading."""
    a, b, x, _, h, reset = _time_first(operands, axis)
    before, after = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
    for t in order(len(x), reverse):
        before[t] = np.where(reset[t], 0, h)
        after[t] = h = a[t] * before[t] + b[t] * x[t]
    return before, after


def _final(states: np.ndarray, h0: np.ndarray, reverse: bool) -> np.ndarray:
    return states[0 if reverse else -1] if len(states) else h0


def _summed(y: np.ndarray, axis: int, state_axis: int | None) -> np.ndarray:
    y = np.moveaxis(y, 0, axis)
    return y if state_axis is None else y.sum(state_axis)


def _truth(
    operands: Arrays, *, axis: int = 0, reverse: bool = False, state_axis: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    _, _, _, c, h0, _ = _time_first(operands, axis)
    _, h = _states(operands, axis, reverse)
    return _summed(c * h, axis, state_axis), _final(h, h0, reverse)


def _error_bound(
    operands: Arrays, eps: float, *, axis: int = 0, reverse: bool = False, state_axis: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """As linear_scan's with |b_t x_t| as much again; then |c_t| e_t, and a rounding for each product and each sum."""
    a, b, x, c, h0, reset = _time_first(operands, axis)
    before, h = _states(operands, axis, reverse)
    error, errors = np.zeros(h0.shape), np.empty(h.shape)
    for t in order(len(h), reverse):
        rounding = np.abs(a[t] * before[t]) + np.abs(b[t] * x[t]) + np.abs(h[t])
        errors[t] = error = np.where(reset[t], 0, np.abs(a[t]) * error) + 4 * eps * rounding
    terms = 1 if state_axis is None else np.moveaxis(h, 0, axis).shape[state_axis]
    return _summed(np.abs(c) * errors + (3 + terms) * eps * np.abs(c * h), axis, state_axis), error


def _gradients(
    operands: Arrays,
    ct: np.ndarray,
    ct_final: np.ndarray,
    *,
    axis: int = 0,
    reverse: bool = False,
    state_axis: int | None = None,
) -> Arrays:
    """g_t = c_t ct_t + a_{t+1} g_{t+1}; dx = b g, db = x g, dc = ct h, da_t = g_t h_{t-1}, dh0 = a_1 g_1."""
    a, b, x, c, _, reset = _time_first(operands, axis)
    before, h = _states(operands, axis, reverse)
    ct = np.broadcast_to(np.moveaxis(ct if state_axis is None else np.expand_dims(ct, state_axis), axis, 0), h.shape)
    g, carry = np.empty_like(h), np.array(ct_final)
    for t in order(len(h), not reverse):
        g[t] = c[t] * ct[t] + carry
        carry = np.where(reset[t], 0, a[t] * g[t])
    gradients = {"a": g * before, "b": g * x, "x": g * b, "c": ct * h}
    gradients = {name: np.moveaxis(v, 0, axis) for name, v in gradients.items()}
    return as_gradients(operands, gradients | {"h0": carry})


def _lanes(**shapes: tuple[int, ...] | None) -> Any:
    return tuple(shapes.items())


_STATES = _lanes(a=(2, 7, 5, 1), b=(2, 7, 1, 4), x=(2, 7, 5, 1), c=(2, 7, 1, 4))
_CASES = [
    Case((7, 40), 0, (7, 40)),
    Case((7, 40), 0, (1, 40)),
    Case((7, 40), 0, ()),
    Case((7, 40), 0, (7, 1), h0=False),
    Case((7, 40), 0, (7, 40), lanes=_lanes(c=None)),
    Case((3, 2100), 0, (1, 1)),
    Case((5, 130), 1, (5, 130)),
    Case((5, 130), -1, (130,), lanes=_lanes(c=(5, 1))),
    Case((17, 11, 64), 1, (11, 64)),
    # each gate broadcast in its own dimensions: factored, by frequency and by channel
    Case((3, 9, 50), 1, (), lanes=_lanes(a=(9, 1), b=(3, 1, 50), c=(50,))),
    Case((2, 6, 4, 5, 3), 1, (), lanes=_lanes(a=(2, 6, 1, 5, 1), b=(2, 6, 1, 1, 3), c=(2, 6, 4, 1, 1))),
    Case((2, 6, 8, 5, 3), 1, (2, 6, 1, 5, 3), lanes=_lanes(c=(8, 1, 1)), h0=False),
    Case((3, 9, 17), 1, (3, 9, 17), lanes=_lanes(x=(9, 1))),
    Case((7, 40), 0, (7, 1), lanes=_lanes(x=(7, 1), c=(7, 40))),
    Case((7, 40), 0, (1, 40), lanes=_lanes(x=(1, 40), c=(7, 1))),
    # real gates of complex inputs
    Case((7, 40), 0, (7, 40), real=("a", "b", "c")),
    Case((3, 9, 20), 1, (3, 1, 20), real=("a",)),
    Case((3, 9, 20), 1, (9, 1), real=("b", "c")),
    # states summed over
    Case((2, 7, 5, 4), 1, (), lanes=_STATES, options=(("state_axis", 3),)),
    Case((2, 7, 5, 4), 1, (), lanes=_STATES, options=(("state_axis", 3),), h0=False, real=("a",), reset="step"),
    Case((4, 2, 9, 6), 2, (9, 6), options=(("state_axis", 0),)),
    Case((3, 4, 33), -1, (4, 1), lanes=_lanes(c=None), options=(("state_axis", 1),), reset="element"),
    # steps at the edges
    *(Case((steps, 24), 0, (steps, 24)) for steps in (1, 2, 64, 127)),
    Case((0, 4), 0, (1, 4)),
    Case((5, 0), 0, (5, 1)),
    Case((0, 5, 3), 1, (3,), options=(("state_axis", 2),)),
    # resets and magnitudes
    Case((30, 40), 0, (30, 40), reset="step"),
    Case((30, 40), 0, (40,), reset="element"),
    Case((4, 70, 20), 1, (70, 20), reset="sequence"),
    *(Case((200, 20), 0, (200, 20), magnitude=m) for m in ("zero", "near one", "one", "above one")),
]


def _draw_options(draw: Any, rank: int, axis: int) -> dict[str, Any]:
    others = [d for d in range(rank) if d != axis]
    state_axis = draw(st.sampled_from([None, *others]))
    return dict(options=(("state_axis", state_axis),), real=draw(st.sampled_from([(), ("a",), ("b", "c")])))


GATED_SCAN = Operation(
    name="gated_scan",
    call=_call,
    truth=_truth,
    error_bound=_error_bound,
    gradients=_gradients,
    make=_make,
    main="x",
    gates=("a", "b", "c"),
    rules=rules,
    cases=_CASES,
    gradient_cases=[case for case in _CASES if 0 not in case.shape][::2],
    small=[
        Case((3, 5, 4), 1, (), lanes=_lanes(a=(3, 1, 4), b=(5, 1), c=(4,)), reset="step"),
        Case((5, 3), 0, (5, 3), lanes=_lanes(c=None), real=("a",)),
        Case((2, 4, 3, 2), 1, (4, 1, 2), lanes=_lanes(x=(2, 4, 3, 1)), options=(("state_axis", 3),)),
    ],
    draw_options=_draw_options,
    implementations=(None, "cpu", "xla", "sequential"),
    native=(None, "cpu"),
    custom_call="cssm_lane_scan",
)
