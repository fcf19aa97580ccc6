"""FLOPs of JAX's primitives: cost(eqn) of the equation that one stands in, None where not known; see `counting`.

Comparisons, choices, conversions, and all that is done to integers, are no floating-point operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from cssm.describe.counting import addition, is_complex, product, transforms

Cost = Callable[[Any], float | None]


def _aval(variable: Any) -> Any:
    return variable.aval


def _elementwise(real: int, of_complex: int | None) -> Cost:
    """So many FLOPs for each entry of the result, by the dtype of the first operand."""

    def cost(eqn: Any) -> float | None:
        operand, result = _aval(eqn.invars[0]), _aval(eqn.outvars[0])
        if not jnp.issubdtype(operand.dtype, jnp.inexact):
            return 0
        each = of_complex if is_complex(operand.dtype) else real
        return None if each is None else result.size * each

    return cost


def _accumulation(of_pair: Callable[[Any], int]) -> Cost:
    """A sum, product or maximum over axes: one operation fewer than there are operands of each result."""

    def cost(eqn: Any) -> float:
        operand, result = _aval(eqn.invars[0]), _aval(eqn.outvars[0])
        if not jnp.issubdtype(operand.dtype, jnp.inexact):
            return 0
        return (operand.size - result.size) * of_pair(operand.dtype)

    return cost


def _running(of_pair: Callable[[Any], int]) -> Cost:
    """The same of every prefix along an axis."""

    def cost(eqn: Any) -> float:
        operand = _aval(eqn.invars[0])
        length = operand.shape[eqn.params["axis"]]
        return operand.size // max(length, 1) * max(length - 1, 0) * of_pair(operand.dtype)

    return cost


def _window(eqn: Any) -> float:
    """A sum or maximum over each window."""
    result = _aval(eqn.outvars[0])
    return result.size * (math.prod(eqn.params["window_dimensions"]) - 1) * addition(result.dtype)


def _integer_power(eqn: Any) -> float:
    """By repeated squaring."""
    exponent = abs(eqn.params["y"])
    products = exponent.bit_length() + exponent.bit_count() - 2 if exponent else 0
    return _aval(eqn.outvars[0]).size * products * product(*[_aval(eqn.invars[0]).dtype] * 2)


def _dot_general(eqn: Any) -> float:
    left, result = _aval(eqn.invars[0]), _aval(eqn.outvars[0])
    (contracted, _), _ = eqn.params["dimension_numbers"]
    terms = math.prod(left.shape[axis] for axis in contracted)
    return result.size * terms * (product(left.dtype, left.dtype) + addition(left.dtype))


def _convolution(eqn: Any) -> float:
    """Every tap at every output, where it falls on padding too."""
    kernel, result = _aval(eqn.invars[1]), _aval(eqn.outvars[0])
    features = kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
    return result.size * (kernel.size // features) * (product(kernel.dtype, kernel.dtype) + addition(kernel.dtype))


def _fft(eqn: Any) -> float:
    operand, result = _aval(eqn.invars[0]), _aval(eqn.outvars[0])
    lengths = eqn.params["fft_lengths"]
    real = not (is_complex(operand.dtype) and is_complex(result.dtype))
    count = max(operand.size, result.size) // math.prod(lengths)
    return transforms(lengths, count, real=real)


def _none(eqn: Any) -> float:
    return 0


_REAL_FUNCTIONS = (
    "max", "min", "pow", "rem", "floor", "ceil", "round", "sign", "exp2", "expm1", "log1p", "sqrt", "rsqrt", "cbrt",
    "logistic", "erf", "erfc", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh",
)  # fmt: skip
# Signs of imaginary parts are changed within the operations that read them.
_NO_FLOPS = (
    "broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "slice", "dynamic_slice",
    "dynamic_update_slice", "gather", "concatenate", "stack", "split", "pad", "rev", "iota", "copy",
    "convert_element_type", "bitcast_convert_type", "select_n", "real", "imag", "complex", "conj", "stop_gradient",
    "optimization_barrier", "platform_index", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "xor",
    "is_finite", "argmax", "argmin",
)  # fmt: skip

COSTS: Mapping[str, Cost] = {
    **dict.fromkeys(_NO_FLOPS, _none),
    **dict.fromkeys(_REAL_FUNCTIONS, _elementwise(1, None)),
    "add": _elementwise(1, 2),
    "add_any": _elementwise(1, 2),
    "sub": _elementwise(1, 2),
    "neg": _elementwise(1, 2),
    "mul": _elementwise(1, 6),
    "square": _elementwise(1, 6),
    "div": _elementwise(1, 11),
    "abs": _elementwise(1, 4),
    "exp": _elementwise(1, 5),
    "log": _elementwise(1, 6),
    "integer_pow": _integer_power,
    "reduce_sum": _accumulation(addition),
    "reduce_max": _accumulation(lambda dtype: 1),
    "reduce_min": _accumulation(lambda dtype: 1),
    "reduce_prod": _accumulation(lambda dtype: product(dtype, dtype)),
    "cumsum": _running(addition),
    "cumprod": _running(lambda dtype: product(dtype, dtype)),
    "reduce_window_sum": _window,
    "reduce_window_max": _window,
    "dot_general": _dot_general,
    "conv_general_dilated": _convolution,
    "fft": _fft,
}
