"""Operations on `SplitComplex` operands: three primitives more, whose every operand is a pair of planes, (re, im?).

By definition they join the planes, run the operation's own primitives and split the result, which is what happens where
there is no native form; a native form reads and writes the planes themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from cssm_kernels._dispatch import PORTABLE
from cssm_kernels._layout import sum_to
from cssm_kernels._primitive import NativeForm, RecurrencePrimitive
from cssm_kernels._three_primitives import three_primitives
from cssm_kernels.split_complex import SplitComplex, joined

Operand = Array | SplitComplex | None


def planes_primitive(
    scan: RecurrencePrimitive,
    *,
    main: int,
    linear: tuple[int, ...],
    forward: Mapping[tuple[str, str], NativeForm],
    backward: Mapping[tuple[str, str], Callable[..., Sequence[Array]]],
) -> RecurrencePrimitive:
    """The primitive (re, im?, re, im?, ...) -> (y_re, y_im, final) of an operation, tied to its tangent and vjp.

    Args:
      scan: the operation's own, (operands...) -> (y, final).
      main: index of the operand that has y's dtype; always a pair.
      linear: as of `three_primitives`.
      forward: native forms, form(*operands, results, **params) -> (y_re, y_im, final), whose operands may be pairs.
      backward: the same of vjp, form(*operands, ct, ct_final, wants, **params): a gradient for each operand wanted, and for
        a pair that of its real plane, then that of the other.
    """

    def results(*planes: Any, **params: Any) -> list[tuple[tuple[int, ...], Any]]:
        (shape, _), final = scan.results(*map(_joined_type, planes[::2], planes[1::2]), **params)
        dtype = planes[2 * main].dtype
        return [(shape, dtype), (shape, dtype), final]

    def definition(*planes: Any, **params: Any) -> list[Array]:
        y, final = scan(*map(joined, _pairs(planes)), **params)
        split = SplitComplex.from_complex(y, planes[2 * main].dtype)
        return [split.re, split.im, final]

    def native_scan(form: NativeForm) -> NativeForm:
        return lambda *planes, **params: form(*_pairs(planes), **params, results=results(*planes, **params))

    def native_vjp(form: Callable[..., Sequence[Array]]) -> NativeForm:
        def gradients(*operands: Any, wants: tuple[bool, ...], **params: Any) -> list[Array]:
            planes, (ct_re, ct_im, ct_final) = operands[: len(wants)], operands[len(wants) :]
            ct = _pair(_or_zeros(ct_re, ct_im), _or_zeros(ct_im, ct_re))
            # A pair's two gradients come together.
            either = tuple(map(any, zip(wants[::2], wants[1::2])))
            found = iter(form(*_pairs(planes), ct, ct_final, wants=either, **params))
            made = [
                (i, sum_to(next(found), plane.shape))
                for i, plane in enumerate(planes)
                if plane is not None and either[i // 2]
            ]
            return [grad for i, grad in made if wants[i]]

        return gradients

    return three_primitives(
        f"{scan.primitive.name}_of_planes",
        results=results,
        definition=definition,
        linear=tuple(plane for i in linear for plane in (2 * i, 2 * i + 1)),
        components=scan.components,
        lane_axes=scan.lane_axes,
        native_scan={where: native_scan(form) for where, form in forward.items()},
        native_vjp={where: native_vjp(form) for where, form in backward.items()},
    ).scan


def run(
    compute: Callable[..., tuple[Array, Array]],
    of_planes: RecurrencePrimitive,
    operands: Sequence[Operand],
    *,
    axis: int,
    implementation: str | None,
    **params: Any,
) -> tuple[Any, Array]:
    """(y, final) = compute(*operands, ...) of aligned operands; y is a pair if any operand is one.

    Pairs are joined for what is plain JAX, and where there are no steps, which no kernel takes.
    """
    params |= dict(axis=axis, implementation=implementation)
    dtype = next((operand.dtype for operand in operands if isinstance(operand, SplitComplex)), None)
    if dtype is None:
        return compute(*operands, **params)
    if implementation in PORTABLE or any(operand is not None and operand.shape[axis] == 0 for operand in operands):
        y, final = compute(*map(joined, operands), **params)
        return SplitComplex.from_complex(y, dtype), final
    re, im, final = of_planes(*(plane for operand in operands for plane in _planes(operand)), **params)
    return SplitComplex(re, im), final


def _planes(operand: Operand) -> tuple[Array | None, Array | None]:
    return (operand.re, operand.im) if isinstance(operand, SplitComplex) else (operand, None)


def _pairs(planes: Sequence[Any]) -> list[Any]:
    return [_pair(*pair) for pair in zip(planes[::2], planes[1::2])]


def _pair(re: Any, im: Any) -> Any:
    """Of planes that may have the batch of a vmap apart."""
    return re if im is None else SplitComplex(*jnp.broadcast_arrays(re, im))


def _joined_type(re: Any, im: Any) -> Any:
    return re if im is None else jax.ShapeDtypeStruct(np.broadcast_shapes(re.shape, im.shape), jnp.complex64)


def _or_zeros(plane: Any, other: Any) -> Any:
    return jnp.zeros_like(other) if plane is None and other is not None else plane
