"""Opcodes that integers and floating-point numbers share, sent on by type."""

import numpy as np

from tools.ptxsim.decoder import Decoder, Step, instruction
from tools.ptxsim.errors import UnsupportedInstruction
from tools.ptxsim.instructions import carry, floating, integer
from tools.ptxsim.instructions.steps import compute, elementwise


@instruction("add", "sub")
def _add(d: Decoder) -> Step:
    type_, name = d.type(), d.inst.opcode
    if d.flag("cc"):
        return carry.add(d, type_, subtract=name == "sub", carry_in=False, carry_out=True)
    if type_.is_float:
        return floating.mixed(d, name, type_) if d.flag("f32") else floating.arithmetic(d, name, type_)
    return integer.add_or_subtract(d, name, type_)


@instruction("mul")
def _mul(d: Decoder) -> Step:
    type_ = d.type()
    return floating.arithmetic(d, "mul", type_) if type_.is_float else integer.multiply(d, type_, accumulate=False)


@instruction("mad")
def _mad(d: Decoder) -> Step:
    type_ = d.type()
    if d.flag("cc"):
        return carry.multiply_add(d, type_, carry_in=False, carry_out=True)
    return floating.arithmetic(d, "fma", type_) if type_.is_float else integer.multiply(d, type_, accumulate=True)


@instruction("fma")
def _fma(d: Decoder) -> Step:
    type_ = d.type()
    return floating.mixed(d, "fma", type_) if d.flag("f32") else floating.arithmetic(d, "fma", type_)


@instruction("div")
def _div(d: Decoder) -> Step:
    type_ = d.type()
    if type_.is_float:
        d.flag("approx", "full")  # computed exactly
        return floating.arithmetic(d, "div", type_)
    return integer.divide(d, "div", type_)


@instruction("rem")
def _rem(d: Decoder) -> Step:
    return integer.divide(d, "rem", d.type())


@instruction("min", "max")
def _extremum(d: Decoder) -> Step:
    type_, name = d.type(), d.inst.opcode
    if type_.is_float:
        return floating.extremum(d, name, type_)
    if d.flag("relu"):
        raise UnsupportedInstruction(f"{name}.relu.{type_.name}")
    ufunc = np.minimum if name == "min" else np.maximum
    return elementwise(ufunc, d.destination(0, type_), [d.source(1, type_), d.source(2, type_)])


@instruction("neg", "abs")
def _sign(d: Decoder) -> Step:
    type_, name = d.type(), d.inst.opcode
    if type_.is_float:
        return floating.sign(d, name, type_)
    return elementwise(np.negative if name == "neg" else np.abs, d.destination(0, type_), [d.source(1, type_)])


@instruction("copysign")
def _copysign(d: Decoder) -> Step:
    type_ = d.type()
    # The first operand gives the sign, the second the magnitude.
    return compute(lambda a, b: np.copysign(b, a), d.destination(0, type_), [d.source(1, type_), d.source(2, type_)])


@instruction("sad")
def _sad(d: Decoder) -> Step:
    return integer.sad(d, d.type())
