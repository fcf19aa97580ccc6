"""What an instruction family needs to turn one instruction into a step: its modifiers and operands, as types and slots."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.ptxsim.errors import UnsupportedInstruction
from tools.ptxsim.layout import Layout
from tools.ptxsim.ptx_types import TYPES, Type
from tools.ptxsim.syntax import Instruction, Register, Variable, float_literal, integer_literal

if TYPE_CHECKING:
    from tools.ptxsim.batch import Batch
    from tools.ptxsim.program import Program

Mask = Any  # True for every lane of the batch, or a bool array
Step = Callable[["Batch", Mask], None]
_DECODERS: dict[str, Callable[["Decoder"], Any]] = {}

SPECIAL_REGISTERS = frozenset(
    [f"%{name}.{axis}" for name in ("tid", "ntid", "ctaid", "nctaid") for axis in "xyz"]
    + ["%laneid", "%warpid", "%nwarpid", "%smid", "%nsmid", "%gridid"]
    + [f"%lanemask_{name}" for name in ("eq", "le", "lt", "ge", "gt")]
    + ["%dynamic_smem_size", "%total_smem_size", "WARP_SZ"]
)


@dataclass(frozen=True)
class Control:
    """A step that moves lanes: `run(batch, pc, active, taken)` returns the next pc of all `active` lanes or None."""

    run: Callable[["Batch", int, Mask, Mask], int | None]


@dataclass(frozen=True)
class Flow:
    """How an instruction that only moves or combines elements passes on which bytes of its sources were written.

    `combine` takes a set of bytes (the bits of a uint8) for each of `sources`; None stands for one that is all written.
    """

    target: Register
    sources: tuple[Register | None, ...]
    combine: Callable[..., np.ndarray]


@dataclass(frozen=True)
class Address:
    """`[slot + offset]`, or `[variable + offset]` where `slot` is None."""

    slot: int | None
    variable: Variable | None
    offset: int


def instruction(*opcodes: str) -> Callable:
    """Register the decoder of these opcodes."""

    def register(function: Callable[["Decoder"], Any]) -> Callable[["Decoder"], Any]:
        for opcode in opcodes:
            assert opcode not in _DECODERS, opcode
            _DECODERS[opcode] = function
        return function

    return register


@dataclass
class Decoder:
    """One instruction being decoded. Modifiers are consumed; one left over means the form is not supported."""

    inst: Instruction
    program: "Program"
    pc: int
    modifiers: list[str] = field(init=False)
    reads: list[Register] = field(default_factory=list)
    writes: list[Register] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.modifiers = list(self.inst.modifiers)

    @property
    def layout(self) -> Layout:
        return self.program.layout

    def decode(self) -> Step | Control:
        """The step. Raises UnsupportedInstruction."""
        if self.inst.opcode not in _DECODERS:
            raise UnsupportedInstruction(f"no such instruction here: {self.inst.opcode}")
        step = _DECODERS[self.inst.opcode](self)
        if self.modifiers:
            raise UnsupportedInstruction(f"modifiers not supported: {', '.join(self.modifiers)}")
        return step

    # Modifiers.

    def type(self) -> Type:
        """The last modifier, which must be a type."""
        if not self.modifiers or self.modifiers[-1] not in TYPES:
            raise UnsupportedInstruction("no known type at the end of its name")
        return TYPES[self.modifiers.pop()]

    def flag(self, *names: str) -> bool:
        """Whether one of these modifiers is there."""
        return self.choose(*names) is not None

    def choose(self, *names: str) -> str | None:
        for name in names:
            if name in self.modifiers:
                self.modifiers.remove(name)
                return name
        return None

    def ignore(self, pattern: str) -> None:
        """Drop the modifiers that change neither results nor which lanes take part."""
        self.modifiers = [modifier for modifier in self.modifiers if not re.fullmatch(pattern, modifier)]

    # Operands.

    def operand(self, index: int) -> str:
        if index >= len(self.inst.operands):
            raise UnsupportedInstruction(f"fewer than {index + 1} operands")
        return self.inst.operands[index]

    def source(self, operand: int | str, type_: Type) -> int:
        """The slot of an operand that is read as `type_`."""
        text = self.operand(operand) if isinstance(operand, int) else operand
        register = self.inst.scope.register(text)
        if register is not None:
            _check_width(register, type_)
            self.reads.append(register)
            return self.layout.view(register, type_.dtype, pack=type_.pack)
        if text in SPECIAL_REGISTERS:
            return self.layout.special(text, type_)
        return self.layout.constant(self.constant(text, type_), pack=type_.pack)

    def constant(self, text: str, type_: Type) -> np.ndarray:
        """An immediate operand or the address of a variable, as `type_`."""
        storage = np.dtype(f"u{type_.nbytes}")
        if type_.is_predicate:
            value = integer_literal(text)
            if value is None:
                raise UnsupportedInstruction(f"operand {text}")
            return np.array(value != 0)
        bits = integer_literal(text)
        if bits is None and (real := float_literal(text)) is not None:
            own = type_.is_float and type_.pack == 1 and not type_.is_bfloat
            kind = type_.dtype if own else np.dtype(f"f{type_.nbytes}")
            with np.errstate(over="ignore"):
                bits = int(np.array(real, kind).view(storage))
            if text[:2].lower() == "0f" and type_.nbytes == 4:
                bits = int(text[2:], 16)  # a NaN keeps its payload
        elif bits is not None and type_.is_float and type_.pack == 1:
            raise UnsupportedInstruction(f"the integer {text} as {type_.name}")
        if bits is None:
            bits = self.symbol(text)
        value_bits = np.array(bits % (1 << type_.bits), storage)
        if type_.pack > 1:
            return value_bits.reshape(1).view(type_.dtype)
        return value_bits.view(type_.dtype)

    def symbol(self, text: str) -> int:
        """The address of `variable` or `variable+offset` in its own state space."""
        name, _, offset = text.replace(" ", "").partition("+")
        variable = self.inst.scope.variable(name)
        displacement = integer_literal(offset or "0")
        if variable is None or displacement is None:
            raise UnsupportedInstruction(f"operand {text}")
        return self.program.address(variable) + displacement

    def destination(self, operand: int | str, type_: Type) -> int | None:
        """The slot of an operand that is written as `type_`, extended to the register's width; None for `_`."""
        text = self.operand(operand) if isinstance(operand, int) else operand
        if text == "_":
            return None
        register = self.inst.scope.register(text)
        if register is None:
            raise UnsupportedInstruction(f"destination {text}")
        _check_width(register, type_)
        self.writes.append(register)
        dtype = type_.dtype
        if register.type.bits > type_.bits:
            dtype = np.dtype(f"{dtype.kind}{register.type.nbytes}")
        return self.layout.view(register, dtype, pack=type_.pack)

    def flow(self, target: int | str, sources: list[int | str], combine: Callable[..., np.ndarray]) -> None:
        """Let these sources be unwritten: LLVM packs a value with an undefined one and later drops the result's half."""
        names = [self.operand(x) if isinstance(x, int) else x for x in (target, *sources)]
        registers = [self.inst.scope.register(name) for name in names]
        if registers[0] is not None:
            self.flows.append(Flow(registers[0], tuple(registers[1:]), combine))

    def predicate(self, operand: int | str) -> tuple[int, bool]:
        """The slot of a predicate that is read, and whether it is negated (`!%p1`)."""
        text = self.operand(operand) if isinstance(operand, int) else operand
        return self.source(text.lstrip("! "), TYPES["pred"]), text.startswith("!")

    def address(self, index: int) -> Address:
        """`[register]`, `[register+offset]`, `[variable]`, `[variable+offset]` or `[constant]`."""
        match = re.fullmatch(r"\[\s*([^\s+]+?)\s*(?:\+\s*(-?\w+)\s*)?\]", self.operand(index))
        if match is None:
            raise UnsupportedInstruction(f"address {self.operand(index)}")
        base, offset = match[1], integer_literal(match[2] or "0")
        if offset is None:
            raise UnsupportedInstruction(f"address {self.operand(index)}")
        if (register := self.inst.scope.register(base)) is not None:
            self.reads.append(register)
            return Address(self.layout.view(register, np.dtype(f"u{register.type.nbytes}")), None, offset)
        if (variable := self.inst.scope.variable(base)) is not None:
            return Address(None, variable, offset)
        if (value := integer_literal(base)) is not None:
            return Address(None, None, value + offset)
        raise UnsupportedInstruction(f"address {self.operand(index)}")


def _check_width(register: Register, type_: Type) -> None:
    """Only integers may be narrower than their register."""
    have, want = register.type, type_
    wider = have.bits > want.bits and not want.is_float
    if have.is_predicate != want.is_predicate or not (have.bits == want.bits or wider):
        raise UnsupportedInstruction(f"{register.name} is {have.name}, not {want.name}")


def vector(operand: str) -> list[str]:
    """`{a, b}` as its elements, anything else as one."""
    return [part.strip() for part in operand.strip("{}").split(",")] if operand.startswith("{") else [operand]
