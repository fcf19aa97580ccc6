"""The three primitives of layer_norm, over aligned operands: x (..., C), scale and bias (..., 1, C).

Channels are components, which stay last under vmap and whole on every device; `axis` is theirs.
"""

from __future__ import annotations

import numpy as np

from cssm_kernels._three_primitives import three_primitives
from cssm_kernels.layer_norm import cpu, reference


def _results(*operands, **_):
    x = operands[0]
    return [(np.broadcast_shapes(*(v.shape for v in operands if v is not None)), x.dtype)]


def _definition(x, scale, bias, *, eps, activation, **_):
    y = reference.normalise(x, scale, bias, eps=eps, activation=activation)
    return [y.astype(x.dtype)]


# (x, scale?, bias?) -> y
normalise, tangent, vjp = three_primitives(
    "layer_norm",
    results=_results,
    definition=_definition,
    linear=(1, 2),
    components=1,
    native_scan={("cpu", "cpu"): cpu.forward},
    native_vjp={("cpu", "cpu"): cpu.backward},
)
