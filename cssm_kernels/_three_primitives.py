"""The three primitives of an operation whose every operand may be differentiated, and the rules that tie them.

    scan     (operands...) -> results: (y, final), or more
    tangent  (operands..., tangents...) -> theirs, linear in the tangents
    vjp      (operands..., cotangent? of each result) -> the gradients wanted, each of its operand's shape and dtype

The derivative of `scan` is `tangent`, the transpose of `tangent` is `vjp`; those two take their own derivatives from their
definitions. Operands alone are kept from forward to backward, and a native `vjp` computes the states again, unless the
operation says what more `scan` may save for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.interpreters import ad

from cssm_kernels._layout import sum_to
from cssm_kernels._primitive import NativeForm, RecurrencePrimitive


class ThreePrimitives(NamedTuple):
    scan: RecurrencePrimitive
    tangent: RecurrencePrimitive
    vjp: RecurrencePrimitive


def three_primitives(
    name: str,
    *,
    results: Callable[..., list[tuple[tuple[int, ...], Any]]],
    definition: Callable[..., Sequence[Array]],
    linear: tuple[int, ...],
    components: int = 0,
    frame_dims: int = 0,
    lane_axes: tuple[str, ...] = (),
    native_scan: Mapping[tuple[str, str], NativeForm] = {},
    native_vjp: Mapping[tuple[str, str], NativeForm] = {},
    saves: bool = False,
) -> ThreePrimitives:
    """Make and tie the primitives of an operation.

    Args:
      name, results, definition, components, frame_dims, lane_axes: of `scan`; see `RecurrencePrimitive`.
      linear: indices of the operands in which, taken together, the results are linear.
      native_scan: {(platform, implementation): form}, form(*operands, axis, reverse, **params) -> (y, final), or None for
        operands it cannot take.
      native_vjp: the same of vjp, form(*operands, ct, ct_final, axis, reverse, wants, **params) -> the gradients wanted;
        `wants` has one bool an operand. A cotangent is None where it is zero, and otherwise whole.
      saves: `scan` has a parameter `saves`, with which one more result comes last: tangent and vjp take it as their last
        operand, their definitions do without, and it has no derivative.
    """
    common: dict[str, Any] = dict(components=components, frame_dims=frame_dims, lane_axes=lane_axes)

    kept = 1 if saves else 0
    unsaved = {"saves": False} if saves else {}

    def tangent_results(*operands, **params):
        operands = operands[: len(operands) - kept]
        params |= unsaved
        return results(*map(_broadcast_type, *_halves(operands)), **params)

    def tangent_definition(*operands, **params):
        primals, tangents = _halves(operands[: len(operands) - kept])
        params |= unsaved
        shapes = [_broadcast_type(*pair) for pair in zip(primals, tangents)]
        primals = [p if t is None else jnp.broadcast_to(p, s.shape) for p, t, s in zip(primals, tangents, shapes)]
        live = [i for i, t in enumerate(tangents) if t is not None]
        tangents = [jnp.broadcast_to(tangents[i], shapes[i].shape) for i in live]
        return jax.jvp(_of(live, primals, definition, params), [primals[i] for i in live], tangents)[1]

    def vjp_results(*operands, wants, **_):
        return [(operand.shape, operand.dtype) for operand, wanted in zip(operands, wants) if wanted]

    def vjp_definition(*operands, wants, **params):
        primals, cotangents = operands[: len(wants)], operands[len(wants) : len(operands) - kept]
        params |= unsaved
        live = [i for i, wanted in enumerate(wants) if wanted]
        outs, pull_back = jax.vjp(_of(live, primals, definition, params), *(primals[i] for i in live))
        return pull_back([jnp.zeros_like(o) if ct is None else ct for o, ct in zip(outs, cotangents)])

    def vjp_whole(present, *, wants, **_):
        cotangents = (i for i in range(len(wants), len(present)) if present[i])
        return (*(i for i, wanted in enumerate(wants) if wanted), *cotangents)

    scan = RecurrencePrimitive(name, results=results, definition=definition, native=native_scan, **common)
    tangent = RecurrencePrimitive(
        f"{name}_tangent", results=tangent_results, definition=tangent_definition, native={}, **common
    )
    vjp = RecurrencePrimitive(
        f"{name}_vjp", results=vjp_results, definition=vjp_definition, native=native_vjp, whole=vjp_whole, **common
    )

    def scan_jvp(primals, tangents, **params):
        is_flag = [p is not None and p.dtype == jnp.bool_ for p in primals]
        tangents = [None if flag else t for flag, t in zip(is_flag, tangents)]
        if not saves:
            return scan(*primals, **params), tangent(*primals, *tangents, **params)
        saved = params.pop("saves")
        outs = scan(*primals, saves=True, **params)
        out_tangents = tangent(*primals, *tangents, outs[-1], **params)
        return (outs, [*out_tangents, None]) if saved else (outs[:-1], out_tangents)

    def scan_transpose(cotangents, operands, is_linear, **params):
        if any(wanted and i not in linear for i, wanted in enumerate(is_linear)):
            raise NotImplementedError(f"{name} is not linear in these operands together: differentiate it instead")
        # The derivative in an operand that is linear does not depend on its value.
        primals = [jnp.zeros(o.aval.shape, o.aval.dtype) if w else o for o, w in zip(operands, is_linear)]
        if params.pop("saves", False):
            cotangents = cotangents[:-1]
        return pull_back(cotangents, primals, is_linear, None, **params)

    def tangent_transpose(cotangents, operands, is_linear, **params):
        *operands, saved = operands if saves else (*operands, None)
        primals, tangents = _halves(operands)
        wants = tuple(is_linear[len(primals) : len(operands)])
        types = [t.aval if wanted else None for t, wanted in zip(tangents, wants)]
        primals = [p if t is None else jnp.broadcast_to(p, _broadcast_type(p, t).shape) for p, t in zip(primals, types)]
        grads = pull_back(cotangents, primals, wants, saved, **params)
        grads = [None if t is None else sum_to(g, t.shape) for g, t in zip(grads, types)]
        return [*[None] * len(primals), *grads, *[None] * kept]

    def pull_back(cotangents, primals, wants, saved, **params):
        """A gradient for each operand wanted, None for the others."""
        cotangents = [None if type(ct) is ad.Zero else ct for ct in cotangents]
        grads = iter(vjp(*primals, *cotangents, *[saved] * kept, wants=tuple(wants), **params))
        return [next(grads) if wanted else None for wanted in wants]

    scan.def_jvp(scan_jvp)
    scan.def_transpose(scan_transpose)
    tangent.def_jvp_by_definition()
    tangent.def_transpose(tangent_transpose)
    vjp.def_jvp_by_definition()
    return ThreePrimitives(scan, tangent, vjp)


def _halves(operands):
    """(operands, their tangents)"""
    return operands[: len(operands) // 2], operands[len(operands) // 2 :]


def _broadcast_type(primal, tangent):
    """Type of an operand once it has the batch that only its tangent may have."""
    if tangent is None:
        return primal
    return jax.ShapeDtypeStruct(np.broadcast_shapes(primal.shape, tangent.shape), primal.dtype)


def _of(live, primals, definition, params):
    """`definition` as a function of the operands at the indices `live`."""

    def of_live(*values):
        operands = list(primals)
        for i, value in zip(live, values):
            operands[i] = value
        return list(definition(*operands, **params))

    return of_live
