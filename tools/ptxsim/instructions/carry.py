"""Extended precision: sums and products with the carry flag, CC.CF. It is a hidden predicate of the function's scope."""

import numpy as np

from tools.ptxsim.batch import Batch
from tools.ptxsim.decoder import Decoder, Mask, Step, instruction
from tools.ptxsim.errors import UnsupportedInstruction
from tools.ptxsim.instructions.integer import high_product
from tools.ptxsim.ptx_types import TYPES, Type

_FLAG = "CC.CF"


def _flag_slot(d: Decoder, *, read: bool, write: bool) -> int:
    scope = d.program.unit_at(d.pc).function.scope
    scope.declared.setdefault(_FLAG, TYPES["pred"])
    register = scope.register(_FLAG)
    assert register is not None
    if read:
        d.reads.append(register)
    if write:
        d.writes.append(register)
    return d.layout.view(register, np.dtype(bool))


def add(d: Decoder, type_: Type, *, subtract: bool, carry_in: bool, carry_out: bool) -> Step:
    """add.cc, addc, sub.cc, subc. A subtraction's flag is its borrow."""
    flag = _flag_slot(d, read=carry_in, write=carry_out)
    target, a, b = d.destination(0, type_), d.source(1, type_), d.source(2, type_)
    return _with_flag(d, type_, target, (a, b), flag, carry_in, carry_out, lambda x, y: (x, y), subtract)


def multiply_add(d: Decoder, type_: Type, *, carry_in: bool, carry_out: bool) -> Step:
    """mad.cc, madc: `.lo` or `.hi` half of the product, plus the third operand."""
    part = d.choose("lo", "hi")
    if part is None:
        raise UnsupportedInstruction("a product that is neither .lo nor .hi")
    flag = _flag_slot(d, read=carry_in, write=carry_out)
    target, sources = d.destination(0, type_), tuple(d.source(i, type_) for i in (1, 2, 3))

    def terms(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (a * b if part == "lo" else high_product(a, b, type_)), c

    return _with_flag(d, type_, target, sources, flag, carry_in, carry_out, terms, False)


def _with_flag(d, type_, target, sources, flag, carry_in, carry_out, terms, subtract) -> Step:
    bits = np.dtype(f"u{type_.nbytes}")

    def step(batch: Batch, mask: Mask) -> None:
        views = batch.views
        x, y = (np.asarray(term).astype(bits) for term in terms(*[views[s] for s in sources]))
        carry = views[flag].astype(bits) if carry_in else bits.type(0)
        if subtract:
            result = x - y
            out = (x < y) | (result < carry)
            result = result - carry
        else:
            partial = x + y
            result = partial + carry
            out = (partial < x) | (result < partial)
        if target is not None:
            np.copyto(views[target].view(bits), result, where=mask)
        if carry_out:
            np.copyto(views[flag], out, where=mask)

    return step


@instruction("addc", "subc")
def _addc(d: Decoder) -> Step:
    type_ = d.type()
    return add(d, type_, subtract=d.inst.opcode == "subc", carry_in=True, carry_out=d.flag("cc"))


@instruction("madc")
def _madc(d: Decoder) -> Step:
    type_ = d.type()
    return multiply_add(d, type_, carry_in=True, carry_out=d.flag("cc"))
