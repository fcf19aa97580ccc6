"""PTX text to functions, variables and instructions. Nothing is interpreted here beyond names and scopes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tools.ptxsim.errors import ParseError
from tools.ptxsim.ptx_types import TYPES, Type

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_LINE_DIRECTIVE = re.compile(r"^[ \t]*\.(?:loc|file|version|target|address_size)\b[^\n]*", re.MULTILINE)
_SECTION = re.compile(r"\.section\s+[^\s{]+\s*\{[^}]*\}")
_FUNCTION = re.compile(r"\s*(?:\.(?:visible|extern|weak)\s+)*\.(entry|func)\b")
_STATEMENT = re.compile(r"\s*(?:(?P<brace>[{}])|(?P<label>[\w$%]+)\s*:(?!:)|(?P<text>[@.\w$][^;]*);)")
_VARIABLE = re.compile(
    r"\.(?P<space>param|shared|global|const|local)\b(?P<attributes>.*?)(?P<name>[\w$%]+)\s*(?P<dims>(?:\[\s*\w*\s*\]\s*)*)"
    r"(?:=\s*(?P<initial>.*))?$",
    re.DOTALL,
)
_GUARD = re.compile(r"@\s*(!?)\s*([%\w$]+)\s+(.*)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Register:
    """One declared register; two of the same name in different scopes are different objects."""

    name: str
    type: Type


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable in memory. `nbytes` is 0 for `.extern .shared x[]`; `initial` is None if it holds addresses."""

    name: str
    space: str
    type: Type
    nbytes: int
    align: int
    initial: bytes | None = b""
    is_array: bool = False


@dataclass(eq=False)
class Scope:
    """The names between two braces."""

    parent: "Scope | None" = None
    declared: dict[str, Type] = field(default_factory=dict)
    ranges: dict[str, tuple[Type, int]] = field(default_factory=dict)
    registers: dict[str, Register] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)

    def register(self, name: str) -> Register | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.registers:
                return scope.registers[name]
            if (type_ := scope._declared_type(name)) is not None:
                return scope.registers.setdefault(name, Register(name, type_))
            scope = scope.parent
        return None

    def variable(self, name: str) -> Variable | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.variables:
                return scope.variables[name]
            scope = scope.parent
        return None

    def _declared_type(self, name: str) -> Type | None:
        if name in self.declared:
            return self.declared[name]
        prefix = name.rstrip("0123456789")
        if prefix in self.ranges and prefix != name:
            type_, count = self.ranges[prefix]
            return type_ if int(name[len(prefix) :]) < count else None
        return None


@dataclass(frozen=True, eq=False)
class Instruction:
    """`opcode` is up to the first dot, `modifiers` the rest; `guard` is (predicate, negated)."""

    opcode: str
    modifiers: tuple[str, ...]
    operands: tuple[str, ...]
    guard: tuple[str, bool] | None
    text: str
    scope: Scope


@dataclass(eq=False)
class Function:
    """A kernel (`is_entry`) or a device function. `body` is None if it is only declared."""

    name: str
    is_entry: bool
    params: tuple[Variable, ...]
    results: tuple[Variable, ...]
    scope: Scope
    body: list[Instruction] | None = None
    labels: dict[str, int] = field(default_factory=dict)
    branch_targets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    required_block: tuple[int, int, int] | None = None


def split_operands(text: str) -> list[str]:
    """Split at the commas outside every bracket."""
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        if char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def integer_literal(text: str) -> int | None:
    """A PTX integer constant: decimal, 0x, 0b or octal with a leading 0, with an optional U."""
    match = re.fullmatch(r"(-?)(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)[uU]?", text)
    if match is None:
        return None
    digits = match[2]
    base = {"0x": 16, "0b": 2}.get(digits[:2].lower(), 8 if digits[0] == "0" else 10)
    return int(digits, base) * (-1 if match[1] else 1)


def float_literal(text: str) -> float | None:
    """A PTX floating constant: 0f and 8 hexadecimal digits, 0d and 16, or decimal."""
    if match := re.fullmatch(r"(-?)0[fF]([0-9a-fA-F]{8})", text):
        value = float(np.array(int(match[2], 16), np.uint32).view(np.float32))
    elif match := re.fullmatch(r"(-?)0[dD]([0-9a-fA-F]{16})", text):
        value = float(np.array(int(match[2], 16), np.uint64).view(np.float64))
    elif match := re.fullmatch(r"(-?)(\d+\.\d*(?:[eE][+-]?\d+)?)", text):
        value = float(match[2])
    else:
        return None
    return -value if match[1] else value


def parse_text(ptx: str) -> tuple[Scope, dict[str, Function]]:
    """The module's scope (its variables) and its functions by name. Raises ParseError."""
    text = _SECTION.sub("", _LINE_DIRECTIVE.sub("", _COMMENT.sub("", ptx)))
    module = Scope()
    functions: dict[str, Function] = {}
    position, length = 0, len(text.rstrip())
    while position < length:
        if _FUNCTION.match(text, position):
            head = re.compile(r"[^{;]*").match(text, position)
            assert head is not None
            function = _parse_head(head[0], module)
            position = head.end()
            if text[position : position + 1] == "{":
                end = _closing_brace(text, position)
                _parse_body(text[position + 1 : end], function)
                position = end
            if function.body is not None or function.name not in functions:
                functions[function.name] = function
            position += 1
            continue
        statement = re.compile(r"[^;]*").match(text, position)
        assert statement is not None
        _declare(statement[0].strip(), module)
        position = statement.end() + 1
    return module, functions


def _closing_brace(text: str, start: int) -> int:
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.start()
    raise ParseError("a function's closing brace is missing")


def _parse_head(text: str, module: Scope) -> Function:
    match = re.fullmatch(
        r"[\s\S]*?\.(?P<kind>entry|func)\s*(?:\((?P<results>[^()]*)\)\s*)?(?P<name>[\w$]+)\s*"
        r"(?:\((?P<params>[^()]*)\))?(?P<rest>[\s\S]*)",
        text,
    )
    if match is None:
        raise ParseError(f"not a function: {' '.join(text.split())}")
    scope = Scope(module)
    params, results = (
        tuple(_parse_variable(part) for part in split_operands(match[group] or "")) for group in ("params", "results")
    )
    scope.variables.update({variable.name: variable for variable in params + results})
    required = re.search(r"\.reqntid\s+([\d\s,]+)", match["rest"])
    block = [int(n) for n in required[1].split(",")] if required else []
    return Function(
        match["name"],
        match["kind"] == "entry",
        params,
        results,
        scope,
        required_block=tuple((block + [1, 1])[:3]) if block else None,  # type: ignore[arg-type]
    )


def _statements(text: str) -> Iterator[tuple[str, str]]:
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _STATEMENT.match(text, position)
        if match is None:
            raise ParseError(f"cannot parse: {text[position : position + 120].strip()}")
        assert match.lastgroup is not None
        yield match.lastgroup, match[match.lastgroup]
        position = match.end()


def _parse_body(text: str, function: Function) -> None:
    body: list[Instruction] = []
    scope, label = function.scope, ""
    for kind, content in _statements(text):
        if kind == "brace":
            if content == "{":
                scope = Scope(scope)
            elif scope.parent is not None:
                scope = scope.parent
        elif kind == "label":
            label = content
            function.labels[label] = len(body)
        elif content.startswith(".branchtargets"):
            function.branch_targets[label] = tuple(split_operands(content.removeprefix(".branchtargets")))
        elif content.startswith("."):
            _declare(content.strip(), scope)
        else:
            body.append(_parse_instruction(content, scope))
    function.body = body


def _parse_instruction(text: str, scope: Scope) -> Instruction:
    text = " ".join(text.split())
    rest, guard = text, None
    if match := _GUARD.match(text):
        guard, rest = (match[2], match[1] == "!"), match[3]
    name, _, operands = rest.partition(" ")
    opcode, *modifiers = name.split(".")
    return Instruction(opcode, tuple(modifiers), tuple(split_operands(operands)), guard, text, scope)


def _declare(statement: str, scope: Scope) -> None:
    if match := re.fullmatch(r"\.reg\s*\.(\w+)\s+(.*)", statement, re.DOTALL):
        type_name, names = match[1], match[2]
        if type_name not in TYPES:
            return  # a register of a type that no supported instruction takes, such as .b128
        for name in split_operands(names):
            if several := re.fullmatch(r"([\w$%]+)<(\d+)>", name):
                scope.ranges[several[1]] = (TYPES[type_name], int(several[2]))
            else:
                scope.declared[name] = TYPES[type_name]
    elif re.match(r"(?:\.(?:visible|extern|weak|common)\s+)*\.(?:shared|global|const|local|param)\b", statement):
        variable = _parse_variable(statement)
        scope.variables[variable.name] = variable


def _parse_variable(text: str) -> Variable:
    match = _VARIABLE.search(" ".join(text.split()))
    if match is None:
        raise ParseError(f"not a variable: {text}")
    attributes = match["attributes"]
    names = [name for name in re.findall(r"\.(\w+)", attributes) if name in TYPES]
    if not names:
        raise ParseError(f"a variable without a known type: {text}")
    type_ = TYPES[names[-1]]
    align = re.search(r"\.align\s+(\d+)", attributes.partition(".ptr")[0])
    count = 1
    for dim in re.findall(r"\[\s*(\w*)\s*\]", match["dims"]):
        count *= int(dim, 0) if dim else 0
    nbytes = count * type_.nbytes
    return Variable(
        match["name"],
        match["space"],
        type_,
        nbytes,
        int(align[1]) if align else type_.nbytes,
        _initial_bytes(match["initial"], type_, nbytes),
        is_array=bool(match["dims"]),
    )


def _initial_bytes(text: str | None, type_: Type, nbytes: int) -> bytes | None:
    values: list[int | float] = []
    for token in re.findall(r"[^\s,{}]+", text or ""):
        value = integer_literal(token) if not type_.is_float or float_literal(token) is None else float_literal(token)
        if value is None:
            return None
        values.append(value)
    array = np.zeros(nbytes // type_.nbytes, type_.dtype)
    if type_.is_float:
        array[: len(values)] = values
    else:
        array[: len(values)] = [
            np.array(int(v) % (1 << type_.bits), f"u{type_.nbytes}").view(type_.dtype) for v in values
        ]
    return array.tobytes()
