"""linear_scan in the shared matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

import cssm_kernels
from cssm_kernels.linear_scan import rules
from tests.matrix import cases
from tests.matrix.cases import Arrays, Case
from tests.matrix.operations.operation import Operation, as_gradients, lanes, order, state_of, time_first


def _call(operands: Arrays, **options: Any) -> tuple[Any, Any]:
    return cssm_kernels.linear_scan(
        operands["a"], operands["x"], operands.get("h0"), reset=operands.get("reset"), return_final=True, **options
    )


def _time_first(operands: Arrays, axis: int) -> Any:
    shape = lanes(operands, {})
    a, x = (time_first(operands[name], shape, axis) for name in ("a", "x"))
    return a, x, *state_of(operands, shape, axis, x.dtype)


def _truth(operands: Arrays, *, axis: int = 0, reverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    a, x, h, reset = _time_first(operands, axis)
    out = np.empty(x.shape, np.result_type(a, x))
    for t in order(len(x), reverse):
        with np.errstate(all="ignore"):
            h = np.where(reset[t], x[t], a[t] * h + x[t])
        out[t] = h
    return np.moveaxis(out, 0, axis), h


def _error_bound(
    operands: Arrays, eps: float, *, axis: int = 0, reverse: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """e_t = |a_t| e_{t-1} + 4 eps (|a_t h_{t-1}| + |h_t|): three roundings a step for real, complex products within 4."""
    a, _, previous, reset = _time_first(operands, axis)
    h = np.moveaxis(_truth(operands, axis=axis, reverse=reverse)[0], axis, 0)
    error = np.zeros(np.shape(previous))
    out = np.empty(h.shape)
    for t in order(len(h), reverse):
        fresh = np.abs(a[t]) * error + 4 * eps * (np.abs(a[t] * previous) + np.abs(h[t]))
        error = np.where(reset[t], 0, fresh)
        out[t], previous = error, h[t]
    return np.moveaxis(out, 0, axis), error


def _gradients(
    operands: Arrays, ct: np.ndarray, ct_final: np.ndarray, *, axis: int = 0, reverse: bool = False
) -> Arrays:
    """g_t = ct_t + a_{t+1} g_{t+1}; dx = g, da_t = g_t h_{t-1}, dh0 = a_1 g_1; nothing passes a reset."""
    h, _ = _truth(operands, axis=axis, reverse=reverse)
    a, _, h0, reset = _time_first(operands, axis)
    h, ct = np.moveaxis(h, axis, 0), np.moveaxis(ct, axis, 0)
    da, dx, carry = np.empty_like(h), np.empty_like(h), np.array(ct_final)
    for t in order(len(h), not reverse):
        before = t + 1 if reverse else t - 1
        dx[t] = ct[t] + carry
        da[t] = np.where(reset[t], 0, dx[t] * (h[before] if 0 <= before < len(h) else h0))
        carry = np.where(reset[t], 0, a[t] * dx[t])
    da, dx = (np.moveaxis(v, 0, axis) for v in (da, dx))
    return as_gradients(operands, {"a": da, "x": dx, "h0": carry})


LINEAR_SCAN = Operation(
    name="linear_scan",
    call=_call,
    truth=_truth,
    error_bound=_error_bound,
    gradients=_gradients,
    make=lambda case, dtype, rng: cases.make_operands(case, ("a",), dtype, rng),
    main="x",
    gates=("a",),
    rules=rules,
    cases=cases.ALL,
    gradient_cases=cases.GRADIENTS,
    small=[
        Case((5, 3), 0, (5, 3)),
        Case((3, 5, 9), 1, (3, 1, 9)),
        Case((4, 6), 1, (1, 6)),
        Case((5, 3), 0, (), reset="step"),
    ],
    implementations=(None, "cpu", "xla", "sequential"),
    native=(None, "cpu"),
    custom_call="cssm_linear_scan",
)
