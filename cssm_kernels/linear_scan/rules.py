"""The three primitives of linear_scan and how they differentiate.

With g_t the cotangent of h_t that has passed through all later steps,

    g_t = ct_t + a_{t+1} g_{t+1},   dx_t = g_t,   da_t = g_t h_{t-1},   dh0 = a_1 g_1,

and nothing passes a step that is reset. JAX's cotangents of complex numbers need no conjugates.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jax.interpreters import ad

from cssm_kernels._layout import full_shape, state_dtype, state_shape, sum_to
from cssm_kernels._primitive import RecurrencePrimitive
from cssm_kernels._triton import available
from cssm_kernels.linear_scan import cpu, reference, triton


def _scan_results(a, x, h0, reset, *, axis, **_):
    shape = full_shape(a, x, h0, reset)
    return [(shape, x.dtype), (state_shape(shape, axis), state_dtype(x.dtype))]


def _scan_definition(a, x, h0, reset, *, axis, reverse, **_):
    return reference.associative(a, x, h0, reset, axis=axis, reverse=reverse)


def _scan_native(a, x, h0, reset, *, axis, reverse):
    return cpu.forward(a, x, h0, reset, axis=axis, reverse=reverse, results=_scan_results(a, x, h0, reset, axis=axis))


def _scan_triton(*operands, **params):
    return triton.forward(*operands, **params, results=_scan_results(*operands, **params)) if available() else None


# (a, x, h0?, reset?) -> (h, final)
scan = RecurrencePrimitive(
    "linear_scan",
    results=_scan_results,
    definition=_scan_definition,
    native={("cpu", "cpu"): _scan_native, ("cuda", "triton"): _scan_triton},
)


def _tangent_results(a, h, h0, reset, da, dx, dh0, *, axis, **_):
    shape = full_shape(a, h, h0, reset, da, dx, dh0)
    return [(shape, h.dtype), (state_shape(shape, axis), state_dtype(h.dtype))]


def _tangent_definition(a, h, h0, reset, da, dx, dh0, *, axis, reverse, implementation):
    """dh_t = a_t dh_{t-1} + (dx_t + da_t h_{t-1})"""
    shape = full_shape(a, h, h0, reset, da, dx, dh0)
    u = jnp.zeros(shape, h.dtype) if dx is None else jnp.broadcast_to(dx, shape)
    if da is not None:
        u = u + (da * previous(h, h0, reset, axis, reverse)).astype(u.dtype)
    return scan(a, u, dh0, reset, axis=axis, reverse=reverse, implementation=implementation)


def _tangent_triton(*operands, axis, **params):
    if not available():
        return None
    results = _tangent_results(*operands, axis=axis)
    *_, da, dx, _ = operands
    if triton.tangent_is_fused(results[0][0], axis, da, dx):
        return triton.tangent(*operands, axis=axis, **params, results=results)
    return _tangent_definition(*operands, axis=axis, **params, implementation="triton")


# (a, h, h0?, reset?, da?, dx?, dh0?) -> (dh, dfinal); linear in the last three
tangent = RecurrencePrimitive(
    "linear_scan_tangent",
    results=_tangent_results,
    definition=_tangent_definition,
    native={("cuda", "triton"): _tangent_triton},
)


def _vjp_results(a, h, h0, reset, ct, ct_final, *, axis, wants_dh0, **_):
    shape = (ct if h is None else h).shape
    results = [] if h is None else [(a.shape, a.dtype)]
    results.append((shape, a.dtype))
    if wants_dh0:
        results.append((state_shape(shape, axis), state_dtype(a.dtype)))
    return results


def _vjp_definition(a, h, h0, reset, ct, ct_final, *, axis, reverse, wants_dh0, implementation):
    shape = (ct if h is None else h).shape
    first, last = (-1, 0) if reverse else (0, -1)
    g = jnp.zeros(shape, a.dtype) if ct is None else ct
    if ct_final is not None:
        at_last = lax.index_in_dim(g, last, axis) + ct_final
        g = lax.dynamic_update_index_in_dim(g, at_last.astype(g.dtype), last % shape[axis], axis)
    a_next = shifted(a, axis, later=reverse)
    reset_next = None if reset is None else shifted(reset, axis, later=reverse)
    g, _ = scan(a_next, g, None, reset_next, axis=axis, reverse=not reverse, implementation=implementation)
    outs = [] if h is None else [sum_to(g * previous(h, h0, reset, axis, reverse), a.shape).astype(a.dtype)]
    outs.append(g)
    if wants_dh0:
        dh0 = _first(a, first, axis) * lax.index_in_dim(g, first, axis)
        dh0 = dh0 if reset is None else jnp.where(_first(reset, first, axis), jnp.zeros_like(dh0), dh0)
        outs.append(dh0.astype(state_dtype(a.dtype)))
    return outs


def _vjp_native(a, h, h0, reset, ct, ct_final, *, axis, reverse, wants_dh0):
    results = _vjp_results(a, h, h0, reset, ct, ct_final, axis=axis, wants_dh0=wants_dh0)
    return cpu.backward(a, h, h0, reset, ct, ct_final, axis=axis, reverse=reverse, wants_dh0=wants_dh0, results=results)


def _vjp_triton(*operands, **params):
    return triton.backward(*operands, **params, results=_vjp_results(*operands, **params)) if available() else None


# (a, h?, h0?, reset?, ct?, ct_final?) -> (da?, dx, dh0?); da is wanted if h is given; dx has the full shape
vjp = RecurrencePrimitive(
    "linear_scan_vjp",
    results=_vjp_results,
    definition=_vjp_definition,
    native={("cpu", "cpu"): _vjp_native, ("cuda", "triton"): _vjp_triton},
    # da has a's shape; the kernel takes h, ct and ct_final whole.
    whole=lambda present, **_: tuple(i for i in (0, 1, 4, 5) if present[i] and (i > 0 or present[1])),
)


def _scan_jvp(primals, tangents, **params):
    a, x, h0, reset = primals
    da, dx, dh0, _ = tangents
    h, final = scan(a, x, h0, reset, **params)
    return [h, final], tangent(a, h, h0, reset, da, dx, dh0, **params)


def _scan_transpose(cotangents, operands, is_linear, **params):
    a, _, _, reset = operands
    if is_linear[0]:
        raise NotImplementedError("linear_scan is not linear in a and (x, h0) together: transpose it in x and h0 alone")
    grads = _pull_back(cotangents, a, None, None, reset, is_linear[2], **params)
    # A linear operand may be broadcast: x over a's dimensions, h0 over any.
    return [
        sum_to(grad, operand.aval.shape) if linear else None
        for grad, operand, linear in zip((*grads, None), operands, is_linear)
    ]


def _tangent_transpose(cotangents, operands, is_linear, **params):
    a, h, h0, reset, *linear = operands
    wants_da, wants_dx, wants_dh0 = is_linear[4:]
    grads = _pull_back(cotangents, a, h if wants_da else None, h0, reset, wants_dh0, **params)
    grads = [
        sum_to(grad, operand.aval.shape) if wanted else None
        for grad, operand, wanted in zip(grads, linear, (wants_da, wants_dx, wants_dh0))
    ]
    return None, None, None, None, *grads


def _pull_back(cotangents, a, h, h0, reset, wants_dh0, **params) -> tuple[Any, Any, Any]:
    """(da, dx, dh0), None where not wanted."""
    ct, ct_final = (None if type(ct) is ad.Zero else ct for ct in cotangents)
    if ct is None and h is None:
        ct = jnp.zeros(cotangents[0].aval.shape, cotangents[0].aval.dtype)
    outs = iter(vjp(a, h, None if h is None else h0, reset, ct, ct_final, wants_dh0=wants_dh0, **params))
    return None if h is None else next(outs), next(outs), next(outs) if wants_dh0 else None


scan.def_jvp(_scan_jvp)
scan.def_transpose(_scan_transpose)
tangent.def_jvp_by_definition()
tangent.def_transpose(_tangent_transpose)
vjp.def_jvp_by_definition()


def _first(x: Array, first: int, axis: int) -> Array:
    return x if x.shape[axis] == 1 else lax.index_in_dim(x, first, axis)


def shifted(x: Array, axis: int, later: bool) -> Array:
    """x one step later in memory order (or earlier), zero-filled; a time-constant x is its own shift."""
    if x.shape[axis] == 1:
        return x
    zero = jnp.zeros_like(lax.index_in_dim(x, 0, axis))
    kept = lax.slice_in_dim(x, 0, -1, axis=axis) if later else lax.slice_in_dim(x, 1, None, axis=axis)
    return jnp.concatenate([zero, kept] if later else [kept, zero], axis)


def previous(h: Array, h0: Array | None, reset: Array | None, axis: int, reverse: bool) -> Array:
    """h_{t-1}, in the state's dtype; 0 where step t is reset."""
    start = jnp.zeros(state_shape(h.shape, axis), state_dtype(h.dtype))
    start = start if h0 is None else jnp.broadcast_to(h0, start.shape)
    if reverse:
        earlier = [lax.slice_in_dim(h, 1, None, axis=axis).astype(start.dtype), start]
    else:
        earlier = [start, lax.slice_in_dim(h, 0, -1, axis=axis).astype(start.dtype)]
    before = jnp.concatenate(earlier, axis)
    return before if reset is None else jnp.where(reset, jnp.zeros_like(before), before)
