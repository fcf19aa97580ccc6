"""FLOPs of the operations of `cssm_kernels`, by the recurrences their documentation gives; see `counting`.

cost(operands, results, params) of shapes and dtypes, operands None where absent, aligned as each operation's primitive has
them (`cssm_kernels.<operation>.rules`). What a kernel computes beside its recurrence is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from cssm.describe.counting import addition, product, transforms

Cost = Callable[[Sequence[Any], Sequence[Any], Mapping[str, Any]], float]


def _linear_scan(operands: Sequence[Any], results: Sequence[Any], params: Mapping[str, Any]) -> float:
    """h = a h + x"""
    a, (h, _) = operands[0], results
    return h.size * (product(a.dtype, h.dtype) + addition(h.dtype))


def _gated_scan(operands: Sequence[Any], results: Sequence[Any], params: Mapping[str, Any]) -> float:
    """h = a h + b x, y = c h, summed over the states of a channel where there are"""
    (a, b, x, c, *_), (y, final) = operands, results
    states = final.size * y.shape[params["axis"]]
    flops = states * (product(a.dtype, x.dtype) + product(b.dtype, x.dtype) + addition(x.dtype))
    if c is not None:
        flops += states * product(c.dtype, x.dtype)
    return flops + (states - y.size) * addition(x.dtype)


def _matrix_scan(operands: Sequence[Any], results: Sequence[Any], params: Mapping[str, Any]) -> float:
    """h = A h + x; of a triangular A half, and the diagonal"""
    A, (h, _) = operands[0], results
    k = h.shape[-1]
    of_row = k if params["triangular"] is None else (k + 1) / 2
    return h.size * of_row * (product(A.dtype, h.dtype) + addition(h.dtype))


def _coupled_scan(operands: Sequence[Any], results: Sequence[Any], params: Mapping[str, Any]) -> float:
    """h = (G o K) h + b x, y = c h"""
    (G, K, x, b, c, *_), (y, _) = operands, results
    of_entry = product(G.dtype, K.dtype) + product(x.dtype, x.dtype) + addition(x.dtype)
    of_component = sum(product(gate.dtype, x.dtype) for gate in (b, c) if gate is not None)
    return y.size * (y.shape[-1] * of_entry + of_component)


def _delta_scan(operands: Sequence[Any], results: Sequence[Any], params: Mapping[str, Any]) -> float:
    """S = a (S - beta (S conj(k)) k^T) + beta v w^T, o = S q, for each row of S: S conj(k) and S q are sums of products"""
    (a, beta, k, v, *_), (o, _) = operands, results
    multiply, add = product(v.dtype, v.dtype), addition(v.dtype)
    of_entry = 4 * multiply + 2 * add + product(a.dtype, v.dtype)  # S conj(k), - k^T, a, + w^T and S q
    sums = 2 * (k.shape[-1] - 1) * add
    return o.size * (k.shape[-1] * of_entry + sums + 2 * product(beta.dtype, v.dtype))


def _rfft2(operands: Sequence[Any], results: Sequence[Any], params: Mapping[str, Any]) -> float:
    return _frames(operands[0])


def _irfft2(operands: Sequence[Any], results: Sequence[Any], params: Mapping[str, Any]) -> float:
    return _frames(results[0])


def _spectral_scan(operands: Sequence[Any], results: Sequence[Any], params: Mapping[str, Any]) -> float:
    """S = k_hat S + rfft2(x), y = irfft2(S)"""
    (k_hat, x, *_), y = operands, results[0]
    states = math.prod(y.shape[:-4]) * x.shape[-4] * math.prod(k_hat.shape[-3:])
    return _frames(x) + states * (product(k_hat.dtype, k_hat.dtype) + addition(k_hat.dtype)) + _frames(y)


def _projected_scan(operands: Sequence[Any], results: Sequence[Any], params: Mapping[str, Any]) -> float:
    """`_spectral_scan` and `_dense`, whose frames between them are no array"""
    (x, k_hat, w, bias, *_), y = operands, results[0]
    frames = jax.ShapeDtypeStruct((*y.shape[:-1], x.shape[-1]), x.dtype)
    minus = x if params["minus_x"] else None
    sums = 0
    if params["filters"]:  # k rfft2(x), to which nothing is added
        sums = math.prod(y.shape[:-3]) * math.prod(k_hat.shape[-3:]) * addition(k_hat.dtype)
    return _spectral_scan((k_hat, x), (frames,), params) - sums + _dense((x, w, bias, minus), (y,), params)


def _frames(x: Any) -> float:
    """The transforms of the frames x (..., H, W, C), one way."""
    size = x.shape[-3:-1]
    return transforms(size, x.size // math.prod(size), real=True)


def _convolve(operands: Sequence[Any], results: Sequence[Any], params: Mapping[str, Any]) -> float:
    """Every tap at every output, where it falls outside x too"""
    (_, kernel, bias), (y,) = operands, results
    return y.size * (2 * math.prod(kernel.shape[-4:-1]) + (bias is not None))


def _dense(operands: Sequence[Any], results: Sequence[Any], params: Mapping[str, Any]) -> float:
    """Of each number a product and a sum an input channel, the bias and what is taken away"""
    (_, w, bias, minus), (y,) = operands, results
    return y.size * (2 * w.shape[-2] + (bias is not None) + (minus is not None))


# Operations on each number, of the activations as `cssm_kernels.layer_norm.reference` writes them.
_ACTIVATIONS = {None: 0, "gelu": 9, "softplus": 8, "relu": 1}


def _layer_norm(operands: Sequence[Any], results: Sequence[Any], params: Mapping[str, Any]) -> float:
    """Of each number the two sums, a square, the difference and the product; of each row what makes the factor of it"""
    (_, scale, bias), (y,) = operands, results
    of_number = _ACTIVATIONS[params["activation"]] + 5 + (scale is not None) + (bias is not None)
    return y.size * of_number + y.size // y.shape[-1] * 5


COSTS: Mapping[str, Cost] = {
    "linear_scan": _linear_scan,
    "gated_scan": _gated_scan,
    "matrix_scan": _matrix_scan,
    "coupled_scan": _coupled_scan,
    "delta_scan": _delta_scan,
    "spectral_scan": _spectral_scan,
    "projected_scan": _projected_scan,
    "rfft2_cl": _rfft2,
    "irfft2_cl": _irfft2,
    "dense": _dense,
    "depthwise_convolve": _convolve,
    "layer_norm": _layer_norm,
}
