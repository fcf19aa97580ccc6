"""Comparisons and selections."""

from collections.abc import Callable

import numpy as np

from tools.ptxsim import rounding
from tools.ptxsim.batch import Batch
from tools.ptxsim.decoder import Decoder, Mask, Step, instruction
from tools.ptxsim.errors import UnsupportedInstruction
from tools.ptxsim.instructions.steps import compute
from tools.ptxsim.ptx_types import TYPES, Type, unsigned

_PREDICATE = TYPES["pred"]
_ORDERED: dict[str, Callable] = {
    "eq": np.equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "ne": lambda a, b: (a < b) | (a > b),
}
_UNORDERED: dict[str, Callable] = {
    "equ": lambda a, b: ~((a < b) | (a > b)),
    "neu": np.not_equal,
    "ltu": lambda a, b: ~(a >= b),
    "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b),
    "geu": lambda a, b: ~(a < b),
    "num": lambda a, b: ~(np.isnan(a) | np.isnan(b)),
    "nan": lambda a, b: np.isnan(a) | np.isnan(b),
}
_INTEGER: dict[str, Callable] = {**_ORDERED, "ne": np.not_equal}
_UNSIGNED = {"lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal}
_COMBINE = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


def _comparison(d: Decoder, type_: Type) -> Callable:
    table = {**_ORDERED, **_UNORDERED} if type_.is_float else _INTEGER
    if type_.name[0] == "u":
        table = {**table, **_UNSIGNED}
    name = d.choose(*table)
    if name is None or (type_.name[0] == "b" and not type_.is_bfloat and name not in ("eq", "ne")):
        raise UnsupportedInstruction("a comparison that does not suit its type")
    compare = table[name]
    ftz = d.flag("ftz")
    if type_.is_bfloat:
        return lambda a, b: compare(rounding.from_bfloat16(a), rounding.from_bfloat16(b))
    if ftz and type_.dtype == np.float32:
        return lambda a, b: compare(rounding.flush(a), rounding.flush(b))
    return compare


def _combined(d: Decoder, type_: Type, compare: Callable) -> tuple[Callable, list[int], Callable]:
    """The comparison, and with `.and`, `.or`, `.xor` its combination with a predicate; then the same of its complement."""
    sources = [d.source(1, type_), d.source(2, type_)]
    boolean = d.choose(*_COMBINE)
    if boolean is None:
        return compare, sources, lambda a, b: ~compare(a, b)
    slot, negated = d.predicate(3)
    combine = _COMBINE[boolean]
    sources.append(slot)
    return (
        lambda a, b, p: combine(compare(a, b), ~p if negated else p),
        sources,
        lambda a, b, p: combine(~compare(a, b), ~p if negated else p),
    )


@instruction("setp")
def _setp(d: Decoder) -> Step:
    type_ = d.type()
    if type_.pack > 1:
        raise UnsupportedInstruction(f"setp of {type_.name}")
    first, _, second = d.operand(0).partition("|")
    function, sources, complement = _combined(d, type_, _comparison(d, type_))
    target = d.destination(first.strip(), _PREDICATE)
    if not second:
        return compute(function, target, sources)
    other = d.destination(second.strip(), _PREDICATE)

    def step(batch: Batch, mask: Mask) -> None:
        values = [batch.views[source] for source in sources]
        results = function(*values), complement(*values)
        for slot, result in zip((target, other), results):
            if slot is not None:
                np.copyto(batch.views[slot], result, where=mask)

    return step


@instruction("set")
def _set(d: Decoder) -> Step:
    """All ones, or 1.0, where the comparison holds."""
    type_ = d.type()
    result = d.type()
    if type_.pack > 1 or result.pack > 1 or result.is_bfloat:
        raise UnsupportedInstruction(f"set of {type_.name} to {result.name}")
    function, sources, _ = _combined(d, type_, _comparison(d, type_))
    one = np.array(1 if result.is_float else -1).astype(result.dtype)
    zero = np.zeros((), result.dtype)
    return compute(lambda *xs: np.where(function(*xs), one, zero), d.destination(0, result), sources)


@instruction("selp")
def _selp(d: Decoder) -> Step:
    type_ = d.type()
    type_ = type_ if type_.is_predicate else unsigned_like(type_)
    a, b = d.source(1, type_), d.source(2, type_)
    slot, negated = d.predicate(3)
    if negated:
        a, b = b, a
    return compute(lambda p, x, y: np.where(p, x, y), d.destination(0, type_), [slot, a, b])


def unsigned_like(type_: Type) -> Type:
    """The integer type of the same width, for moves: a NaN's bits stay as they are."""
    return type_ if type_.pack > 1 else unsigned(type_.bits)


@instruction("slct")
def _slct(d: Decoder) -> Step:
    """a where c >= 0, else b."""
    condition = d.type()
    type_ = unsigned_like(d.type())
    d.flag("ftz")
    sources = [d.source(1, type_), d.source(2, type_), d.source(3, condition)]
    return compute(lambda a, b, c: np.where(c >= 0, a, b), d.destination(0, type_), sources)


@instruction("testp")
def _testp(d: Decoder) -> Step:
    type_ = d.type()
    if type_.dtype.kind != "f" or type_.pack > 1:
        raise UnsupportedInstruction(f"testp of {type_.name}")
    tiny = np.finfo(type_.dtype).tiny
    tests: dict[str, Callable] = {
        "finite": np.isfinite,
        "infinite": np.isinf,
        "number": lambda a: ~np.isnan(a),
        "notanumber": np.isnan,
        "normal": lambda a: np.isfinite(a) & (np.abs(a) >= tiny),
        "subnormal": lambda a: (a != 0) & (np.abs(a) < tiny),
    }
    name = d.choose(*tests)
    if name is None:
        raise UnsupportedInstruction("an unknown test")
    return compute(tests[name], d.destination(0, _PREDICATE), [d.source(1, type_)])
