"""Spectra that a layer makes of its parameters alone, as they meet its input: the kernels' part of its transition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun
from jax.interpreters import partial_eval

from cssm.describe.counting import is_complex
from cssm.describe.equations import Equation
from cssm.describe.stages import stage_name


def parameter_spectra(
    apply: Callable[..., Any], variables: Any, x: Any, *, root: str = ""
) -> list[tuple[str, jax.Array]]:
    """(stage, complex array) of the half-spectra in apply(variables, x) that depend on the variables and not on x.

    They are the operands with adjoining dimensions H and W // 2 + 1 of an equation whose other operands depend on x, for x
    (B, T, H, W, C), and are named for that equation's stage. `root`: the name of the module's class.
    """
    closed = jax.make_jaxpr(apply)(variables, x)
    jaxpr, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars), instantiate=True)
    size = (x.shape[2], x.shape[3] // 2 + 1)
    of_input = {jaxpr.invars[-1]}
    known = []
    found: dict[Any, str] = {}
    for eqn in jaxpr.eqns:
        operands = [operand for operand in eqn.invars if not isinstance(operand, Literal)]
        if of_input.isdisjoint(operands):
            known.append(eqn)
            continue
        stage = stage_name(Equation(eqn, 1, str(eqn.source_info.name_stack)), root)
        for operand in operands:
            if operand not in of_input and _is_spectrum(operand.aval, size):
                found.setdefault(operand, stage)
        of_input.update(eqn.outvars)
    made = ClosedJaxpr(
        jaxpr.replace(eqns=known, outvars=list(found), debug_info=jaxpr.debug_info.with_unknown_names()), closed.consts
    )
    values = jaxpr_as_fun(made)(*jax.tree.leaves((variables, x)))
    return list(zip(found.values(), values))


def frequency_axes(shape: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int] | None:
    """The first two adjoining axes of these sizes."""
    pairs = ((axis, axis + 1) for axis in range(len(shape) - 1) if shape[axis : axis + 2] == size)
    return next(pairs, None)


def _is_spectrum(aval: Any, size: tuple[int, int]) -> bool:
    return is_complex(aval.dtype) and frequency_axes(aval.shape, size) is not None
