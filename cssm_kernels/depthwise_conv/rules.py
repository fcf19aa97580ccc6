"""The convolution and its transpose as two primitives, bilinear, and closed under differentiation.

    convolve:   y[p] = bias + sum_i kernel[i] x[p + i - offset]
    correlate:  dkernel[i] = sum_p x[p + i - offset] g[p],  dbias = sum_p g[p]

p over the frame (T, H, W) of y or g, i over the window (K_t, K_h, K_w). Transposed, convolve is correlate in the kernel and
the bias, and in x it is itself, with the taps reversed and the offset window - 1 - offset. Correlate transposed in g is
convolve with the cotangents for kernel and bias, and in x convolve of g with those taps reversed.

Operands are aligned: (..., T, H, W, C), kernels (..., K_t, K_h, K_w, C), biases (..., 1, 1, 1, C), the latter two in the
dtype computed in. `axis` is that of time, `frame` and `offset` are triples; `summed` says of each leading dimension of what
correlate returns, counted from the last, whether it is summed over (dimensions that vmap adds before them are not).
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.interpreters import ad

from cssm_kernels._layout import state_dtype, sum_to
from cssm_kernels._primitive import RecurrencePrimitive
from cssm_kernels.depthwise_conv import cpu, reference


def _convolve_results(x, kernel, bias, *, axis, frame, **_):
    lead = np.broadcast_shapes(*(v.shape[:axis] for v in (x, kernel, bias) if v is not None))
    return [((*lead, *frame, x.shape[-1]), x.dtype)]


def _convolve_definition(x, kernel, bias, *, frame, offset, **_):
    return [reference.convolve(x, kernel, bias, frame=frame, offset=offset).astype(x.dtype)]


def _convolve_cpu(x, kernel, bias, *, offset, **params):
    return cpu.convolve(x, kernel, bias, _convolve_results(x, kernel, bias, **params), offset=offset)


def _correlate_results(x, g, *, axis, window, summed, with_bias, **_):
    lead = np.broadcast_shapes(x.shape[:axis], g.shape[:axis])
    kept = axis - len(summed)
    lead = tuple(1 if d >= kept and summed[d - kept] else n for d, n in enumerate(lead))
    results = [(*lead, *window, x.shape[-1]), (*lead, 1, 1, 1, x.shape[-1])]
    return [(shape, state_dtype(x.dtype)) for shape in results[: 1 + with_bias]]


def _correlate_definition(x, g, *, offset, with_bias, **params):
    of_results = [jax.ShapeDtypeStruct(*result) for result in _correlate_results(x, g, with_bias=with_bias, **params)]
    lead = np.broadcast_shapes(x.shape[:-4], g.shape[:-4])
    g = jnp.broadcast_to(g.astype(of_results[0].dtype), (*lead, *g.shape[-4:]))

    def of_kernel_and_bias(kernel, bias=None):
        y = reference.convolve(x, kernel, bias, frame=g.shape[-4:-1], offset=offset)
        return jnp.broadcast_to(y, g.shape)

    return jax.linear_transpose(of_kernel_and_bias, *of_results)(g)


def _correlate_cpu(x, g, *, offset, with_bias, **params):
    return cpu.correlate(
        x, g, _correlate_results(x, g, with_bias=with_bias, **params), offset=offset, with_bias=with_bias
    )


# x, kernel, bias? -> y
convolve = RecurrencePrimitive(
    "depthwise_convolve",
    results=_convolve_results,
    definition=_convolve_definition,
    native={("cpu", "cpu"): _convolve_cpu},
    frame_dims=2,
)

# x, g -> dkernel, dbias?
correlate = RecurrencePrimitive(
    "depthwise_correlate",
    results=_correlate_results,
    definition=_correlate_definition,
    native={("cpu", "cpu"): _correlate_cpu},
    frame_dims=2,
)


def _reversed_taps(kernel):
    return jnp.flip(kernel, (-4, -3, -2))


def _adjoint(g: Array, kernel: Array, x, *, offset, **params) -> Array:
    """The transpose of convolve in its operand x."""
    window = kernel.shape[-4:-1]
    (dx,) = convolve(
        g,
        _reversed_taps(kernel),
        None,
        frame=x.shape[-4:-1],
        offset=tuple(k - 1 - o for k, o in zip(window, offset)),
        **params,
    )
    return _with_batch_of(dx, x)


def _with_batch_of(out: Array, like) -> Array:
    """`out` summed or broadcast to the leading dimensions of the operand that it is the cotangent of."""
    lead = tuple(1 if n == 1 else m for n, m in zip(like.shape, out.shape[:-4]))
    return jnp.broadcast_to(sum_to(out, (*lead, *out.shape[-4:])), like.shape)


def _convolve_jvp(primals, tangents, **params):
    x, kernel, bias = primals
    dx, dkernel, dbias = tangents
    (y,) = convolve(x, kernel, bias, **params)
    terms = []
    if dx is not None:
        terms += convolve(dx, kernel, None, **params)
    if dkernel is not None:
        terms += convolve(x, dkernel, dbias, **params)
    elif dbias is not None:
        terms.append(dbias.astype(y.dtype))
    return [y], [jnp.broadcast_to(functools.reduce(jnp.add, terms), y.shape) if terms else None]


def _convolve_transpose(cotangents, operands, is_linear, *, axis, offset, implementation, **_):
    """In x without a bias, or in the kernel and the bias if there is one: convolve is linear in nothing else."""
    (ct,), (x, kernel, bias) = cotangents, operands
    params = {"axis": axis, "offset": offset, "implementation": implementation}
    if is_linear[0]:
        return [_adjoint(ct, kernel, x.aval, **params), None, None]
    of_kernel, of_bias = kernel.aval, None if bias is None else bias.aval
    lead = np.broadcast_shapes(*(v.shape[:axis] for v in (of_kernel, of_bias) if v is not None))
    dkernel, *dbias = correlate(
        x,
        ct,
        window=of_kernel.shape[-4:-1],
        summed=tuple(n == 1 for n in lead),
        with_bias=of_bias is not None,
        **params,
    )
    return [None, _with_batch_of(dkernel, of_kernel), _with_batch_of(dbias[0], of_bias) if dbias else None]


def _correlate_jvp(primals, tangents, *, with_bias, **params):
    (x, g), (dx, dg) = primals, tangents
    outs = correlate(x, g, with_bias=with_bias, **params)
    tangents = [None] * len(outs)
    if dg is not None:
        tangents = correlate(x, dg, with_bias=with_bias, **params)
    if dx is not None:  # the sum of g does not depend on it
        (dkernel,) = correlate(dx, g, with_bias=False, **params)
        tangents[0] = dkernel if dg is None else dkernel + tangents[0]
    return outs, tangents


def _correlate_transpose(cotangents, operands, is_linear, *, axis, offset, implementation, **_):
    ct, *ct_bias = cotangents
    x, g = operands
    params = {"axis": axis, "offset": offset, "implementation": implementation}
    if type(ct) is ad.Zero:
        ct = jnp.zeros(ct.aval.shape, ct.aval.dtype)
    if is_linear[0]:
        return [_adjoint(g, ct, x.aval, **params), None]
    bias = ct_bias[0] if ct_bias and type(ct_bias[0]) is not ad.Zero else None
    (dg,) = convolve(x, ct, bias, frame=g.aval.shape[-4:-1], **params)
    return [None, _with_batch_of(dg, g.aval)]


convolve.def_jvp(_convolve_jvp)
convolve.def_transpose(_convolve_transpose)
correlate.def_jvp(_correlate_jvp)
correlate.def_transpose(_correlate_transpose)
