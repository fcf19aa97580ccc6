"""goom_scan and goom_matrix_scan in the shared matrix, as recurrences of numbers: into logarithms and out of them.

So the truths of linear_scan and matrix_scan hold them, derivatives included; real numbers are signed ones. What is not true
of logarithms: they are not linear, and no gradient comes from a number that is 0.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

import cssm_kernels
from cssm_kernels import Goom
from cssm_kernels._three_primitives import ThreePrimitives
from cssm_kernels.goom_scan import rules
from tests.matrix.cases import COMPLEX, Arrays, Case
from tests.matrix.operations.linear import LINEAR_SCAN
from tests.matrix.operations.matrix import MATRIX_SCAN
from tests.matrix.operations.operation import Operation


def _of_logs(scan: Callable[..., Any], operands: Arrays, **options: Any) -> tuple[Any, Any]:
    a, x = (v for name, v in operands.items() if name not in ("h0", "reset"))
    return scan(a, x, operands.get("h0"), reset=operands.get("reset"), return_final=True, **options)


def _of_numbers(scan: Callable[..., Any], operands: Arrays, **options: Any) -> tuple[Any, Any]:
    logs = {name: v if name == "reset" else Goom.from_array(v) for name, v in operands.items()}
    h, final = (goom.to_array() for goom in _of_logs(scan, logs, **options))
    return (h, final) if jnp.iscomplexobj(operands["x"]) else (h.real, final.real)


def _error_bound(of: Operation, operands: Arrays, eps: float, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """That of numbers, whose logarithms round as their sizes do, and the phases."""
    states = of.truth(operands, **options)
    numbers = [np.abs(v[v != 0]) for name, v in operands.items() if name != "reset"]
    most = max((np.max(np.abs(np.log(v)), initial=0) for v in (*numbers, np.abs(states[0])[states[0] != 0])), default=0)
    bounds = of.error_bound(operands, (5 + most / 2) * eps, **options)
    return tuple(bound + (12 + most) * eps * np.abs(h) for bound, h in zip(bounds, states))


def _gradients(of: Operation, operands: Arrays, ct: np.ndarray, ct_final: np.ndarray, **options: Any) -> Arrays:
    gradients = of.gradients(operands, ct, ct_final, **options)
    return {name: np.where(operands[name] == 0, 0, gradient) for name, gradient in gradients.items()}


def _operation(scan: Callable[..., Any], of: Operation, rules: Any, cases: list[Case], **changes: Any) -> Operation:
    return dataclasses.replace(
        of,
        name=scan.__name__,
        call=functools.partial(_of_numbers, scan),
        bare=functools.partial(_of_logs, scan),
        error_bound=functools.partial(_error_bound, of),
        gradients=functools.partial(_gradients, of),
        rules=rules,
        cases=cases,
        gradient_cases=[case for case in cases if 0 not in case.shape][::2],
        dtypes=COMPLEX,
        is_linear=False,
        # Without "xla": an associative scan of these takes long to compile. tests/goom has it.
        implementations=(None, "cpu", "sequential"),
        custom_call="cssm_lane_scan",
        **changes,
    )


_CASES = [
    Case((7, 40), 0, (7, 40)),
    Case((7, 40), 0, (1, 40)),
    Case((7, 40), 0, (7, 1), reset="step"),
    Case((7, 40), 0, (), h0=False),
    Case((3, 1100), 0, (1, 1)),
    Case((3, 9, 50), 1, (3, 1, 50), h0=False),
    Case((2, 7, 3, 4, 17), 1, (2, 7, 3, 1, 1)),
    Case((5, 130), -1, (130,)),
    Case((131,), 0, (131,)),
    *(Case((steps, 24), 0, (steps, 24)) for steps in (1, 2, 64, 127)),
    Case((0, 4), 0, (1, 4)),
    Case((5, 0), 0, (5, 1)),
    Case((30, 40), 0, (40,), reset="element"),
    Case((4, 70, 20), 1, (70, 20), reset="sequence"),
    *(Case((200, 20), 0, (200, 20), magnitude=m) for m in ("zero", "near one", "one", "above one")),
]
_CASES_OF_VECTORS = [
    *(Case((7, 21), 0, (7, 21), sizes=(k,)) for k in (1, 2, 3, 4)),
    Case((4, 5), 0, (4, 5), sizes=(16,)),
    Case((7, 40), 0, (1, 40), sizes=(5,), h0=False),
    Case((3, 9, 17), 1, (9, 1), lanes=(("x", (3, 1, 17)),)),
    Case((5, 67), -1, (), reset="step"),
    Case((70, 20), 0, (20,), sizes=(3,), reset="element"),
    Case((0, 4), 0, (1, 4)),
    *(Case((64, 20), 0, (64, 20), magnitude=m) for m in ("zero", "one")),
]

GOOM_SCAN = _operation(
    cssm_kernels.goom_scan,
    LINEAR_SCAN,
    rules,
    _CASES,
    small=[Case((3, 4, 2), 1, (1, 2), reset="step")],
    reference_cases=[Case((7, 20), 0, (7, 20)), Case((3, 5, 9), 1, (5, 9), reset="sequence")],
)
GOOM_MATRIX_SCAN = _operation(
    cssm_kernels.goom_matrix_scan,
    MATRIX_SCAN,
    ThreePrimitives(rules.matrix_scan, rules.matrix_tangent, rules.matrix_vjp),
    _CASES_OF_VECTORS,
    small=[Case((4, 2), 0, (1, 2), reset="step")],
    reference_cases=[Case((7, 20), 0, (7, 20)), Case((3, 5, 9), 1, (9,), sizes=(3,), reset="sequence")],
)
