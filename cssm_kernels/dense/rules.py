"""The three primitives of dense, over aligned operands: x (..., 1, C), w (..., C, N), bias and minus (..., 1, N).

Rows and matrices are components, which stay last under vmap and whole on every device; `axis` is theirs.
"""

from __future__ import annotations

import numpy as np

from cssm_kernels._three_primitives import three_primitives
from cssm_kernels.dense import cpu, reference


def _results(x, w, bias, minus, **_):
    lanes = np.broadcast_shapes(*(v.shape[:-2] for v in (x, w, bias, minus) if v is not None))
    return [((*lanes, 1, w.shape[-1]), x.dtype)]


def _definition(x, w, bias, minus, **_):
    return [reference.dense(x, w, bias, minus)]


# (x, w, bias?, minus?) -> y
dense, tangent, vjp = three_primitives(
    "dense",
    results=_results,
    definition=_definition,
    linear=(0, 2, 3),
    components=2,
    native_scan={("cpu", "cpu"): cpu.forward},
    native_vjp={("cpu", "cpu"): cpu.backward},
)
