"""The two transforms as primitives: linear, and each in terms of the other when transposed.

With w = 1 in the columns f = 0 and f = W/2 (even W), 2 elsewhere, and JAX's transposes, which do not conjugate,

    rfft2^T(c) = H W irfft2(conj(c) / w),    irfft2^T(g) = conj(w rfft2(g)) / (H W).

`axis` is the height's, at -3.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from cssm_kernels._layout import state_dtype
from cssm_kernels._primitive import RecurrencePrimitive
from cssm_kernels.fft2 import cpu, reference


def complex_dtype(dtype):
    """Dtype of the spectrum of real numbers of this one."""
    return jnp.dtype(jnp.complex128 if state_dtype(dtype) == jnp.float64 else jnp.complex64)


def real_dtype(dtype):
    """Dtype of the parts of this complex one."""
    return jnp.dtype(jnp.float64 if dtype == jnp.complex128 else jnp.float32)


def column_weights(width: int) -> np.ndarray:
    """(W//2 + 1, 1): how many columns of the whole spectrum each column of the half stands for."""
    f = np.arange(width // 2 + 1)
    return np.where((f == 0) | (2 * f == width), 1, 2)[:, None]


def _rfft2_results(x, **_):
    *batch, height, width, channels = x.shape
    return [((*batch, height, width // 2 + 1, channels), complex_dtype(x.dtype))]


def _irfft2_results(x_hat, *, width, **_):
    *batch, height, _, channels = x_hat.shape
    return [((*batch, height, width, channels), real_dtype(x_hat.dtype))]


# x -> x_hat
rfft2 = RecurrencePrimitive(
    "rfft2_cl",
    results=_rfft2_results,
    definition=lambda x, **_: [reference.rfft2(x)],
    native={("cpu", "cpu"): lambda x, **_: cpu.rfft2(x, _rfft2_results(x))},
    frame_dims=1,
)

# x_hat -> x
irfft2 = RecurrencePrimitive(
    "irfft2_cl",
    results=_irfft2_results,
    definition=lambda x_hat, *, width, **_: [reference.irfft2(x_hat, width)],
    native={("cpu", "cpu"): lambda x_hat, *, width, **_: cpu.irfft2(x_hat, _irfft2_results(x_hat, width=width))},
    frame_dims=1,
)


def weighted(spectrum: Array, width: int, power: int, scale: float = 1.0) -> Array:
    """spectrum * scale * w**power, in its own precision and one pass."""
    return spectrum * (scale * column_weights(width) ** float(power)).astype(real_dtype(spectrum.dtype))


def _rfft2_transpose(cotangents, operands, is_linear, **params):
    (ct,), (x,) = cotangents, operands
    height, width = x.aval.shape[-3:-1]
    (out,) = irfft2(weighted(jnp.conj(ct), width, -1, height * width), width=width, **params)
    return [out.astype(x.aval.dtype)]


def _irfft2_transpose(cotangents, operands, is_linear, *, width, **params):
    (ct,) = cotangents
    (out,) = rfft2(ct, **params)
    return [jnp.conj(weighted(out, width, 1, 1 / (ct.shape[-3] * width)))]


def _linear_jvp(primitive):
    def rule(primals, tangents, **params):
        return primitive(*primals, **params), [None] if tangents[0] is None else primitive(*tangents, **params)

    return rule


for _primitive, _transpose in ((rfft2, _rfft2_transpose), (irfft2, _irfft2_transpose)):
    _primitive.def_jvp(_linear_jvp(_primitive))
    _primitive.def_transpose(_transpose)
