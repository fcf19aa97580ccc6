"""The operations held to the shared matrix. A later operation joins with one more entry of OPERATIONS, a backend with one
more name in its `implementations`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import cssm_kernels

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """What the matrix needs to know of a recurrence.

    Attributes:
      call: (operands, **options) -> (outputs, final state); operands by name, absent ones left out.
      truth: the same in numpy, a step at a time, in whatever precision it is given.
      error_bound: (operands, outputs, eps, **options) -> elementwise bound on the rounding error of a step-by-step
        evaluation in precision eps.
      gradients: (operands, cotangents of outputs and final state, **options) -> gradients by name, in numpy.
      gates: names of the operands that may be broadcast in any dimension.
      implementations: names to pass as `implementation=`; None is the default.
      native: those that run as one custom call, without memory or compile time growing with T.
    """

    name: str
    call: Callable[..., tuple[Any, Any]]
    truth: Callable[..., tuple[np.ndarray, np.ndarray]]
    error_bound: Callable[..., np.ndarray]
    gradients: Callable[..., Arrays]
    gates: tuple[str, ...]
    implementations: tuple[str | None, ...]
    native: tuple[str | None, ...]
    custom_call: str


def _linear_scan(operands: Arrays, **options: Any) -> tuple[Any, Any]:
    return cssm_kernels.linear_scan(
        operands["a"], operands["x"], operands.get("h0"), reset=operands.get("reset"), return_final=True, **options
    )


def _time_first(operands: Arrays, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    a, x = np.broadcast_arrays(operands["a"], operands["x"])
    shape = x.shape
    h0 = np.broadcast_to(operands.get("h0", np.zeros((), x.dtype)), shape[:axis] + shape[axis + 1 :])
    reset = np.broadcast_to(operands.get("reset", np.zeros((1,) * x.ndim, bool)), shape)
    a, x, reset = (np.moveaxis(v, axis, 0) for v in (a, x, reset))
    return a, x, np.array(h0), reset


def _linear_scan_truth(operands: Arrays, *, axis: int = 0, reverse: bool = False) -> tuple[np.ndarray, np.ndarray]:
    a, x, h, reset = _time_first(operands, axis)
    out = np.empty(x.shape, np.result_type(a, x))
    for t in range(len(x))[:: -1 if reverse else 1]:
        with np.errstate(all="ignore"):
            h = np.where(reset[t], x[t], a[t] * h + x[t])
        out[t] = h
    return np.moveaxis(out, 0, axis), h


def _linear_scan_error_bound(
    operands: Arrays, h: np.ndarray, eps: float, *, axis: int = 0, reverse: bool = False
) -> np.ndarray:
    """e_t = |a_t| e_{t-1} + 4 eps (|a_t h_{t-1}| + |h_t|): three roundings a step for real, complex products within 4."""
    a, _, previous, reset = _time_first(operands, axis)
    h = np.moveaxis(h, axis, 0)
    error = np.zeros(np.shape(previous))
    out = np.empty(h.shape)
    for t in range(len(h))[:: -1 if reverse else 1]:
        fresh = np.abs(a[t]) * error + 4 * eps * (np.abs(a[t] * previous) + np.abs(h[t]))
        error = np.where(reset[t], 0, fresh)
        out[t], previous = error, h[t]
    return np.moveaxis(out, 0, axis)


def _linear_scan_gradients(
    operands: Arrays, ct: np.ndarray, ct_final: np.ndarray, *, axis: int = 0, reverse: bool = False
) -> Arrays:
    """g_t = ct_t + a_{t+1} g_{t+1}; dx = g, da_t = g_t h_{t-1}, dh0 = a_1 g_1; nothing passes a reset."""
    h, _ = _linear_scan_truth(operands, axis=axis, reverse=reverse)
    a, _, h0, reset = _time_first(operands, axis)
    h, ct = np.moveaxis(h, axis, 0), np.moveaxis(ct, axis, 0)
    da, dx, carry = np.empty_like(h), np.empty_like(h), np.array(ct_final)
    order = range(len(h))[:: 1 if reverse else -1]
    for t in order:
        before = t + 1 if reverse else t - 1
        dx[t] = ct[t] + carry
        da[t] = np.where(reset[t], 0, dx[t] * (h[before] if 0 <= before < len(h) else h0))
        carry = np.where(reset[t], 0, a[t] * dx[t])
    da, dx = (np.moveaxis(v, 0, axis) for v in (da, dx))
    grads = {"a": _summed_to(da, operands["a"].shape), "x": _summed_to(dx, operands["x"].shape)}
    return grads | ({"h0": _summed_to(carry, operands["h0"].shape)} if "h0" in operands else {})


def _summed_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    x = x.sum(tuple(range(x.ndim - len(shape))))
    return x.sum(tuple(d for d, n in enumerate(shape) if n != x.shape[d]), keepdims=True)


LINEAR_SCAN = Operation(
    name="linear_scan",
    call=_linear_scan,
    truth=_linear_scan_truth,
    error_bound=_linear_scan_error_bound,
    gradients=_linear_scan_gradients,
    gates=("a",),
    implementations=(None, "cpu", "xla", "sequential"),
    native=(None, "cpu"),
    custom_call="cssm_linear_scan",
)

OPERATIONS = (LINEAR_SCAN,)
