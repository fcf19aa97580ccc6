"""A kernel and the device functions it calls, decoded once into one list of steps."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

import tools.ptxsim.instructions  # noqa: F401  (registers the decoders)
from tools.ptxsim.assignment import unassigned_reads
from tools.ptxsim.batch import Batch
from tools.ptxsim.decoder import Control, Decoder, Mask, Step
from tools.ptxsim.errors import ParseError, UnsupportedInstruction
from tools.ptxsim.layout import Layout
from tools.ptxsim.memory import Mapping
from tools.ptxsim.syntax import Function, Instruction, Scope, Variable, parse_text

_MODULE_ADDRESS = 1 << 54
PARAMETER_ADDRESS = 1 << 55


class Param(NamedTuple):
    """A kernel's parameter; a by-value struct has a void dtype of its size."""

    name: str
    dtype: np.dtype
    align: int


class Module:
    """Parsed PTX. `kernels` by name; its `.global` variables keep their values from launch to launch."""

    def __init__(self, ptx: str) -> None:
        self.scope, self.functions = parse_text(ptx)
        self.mappings: list[Mapping] = []
        self.addresses: dict[Variable, int] = {}
        address = _MODULE_ADDRESS
        for variable in self.scope.variables.values():
            if variable.space in ("global", "const") and variable.initial is not None:
                data = np.frombuffer(bytearray(variable.initial), np.uint8)
                self.mappings.append(Mapping(address, data, variable.space == "global"))
                self.addresses[variable] = address
                address += (variable.nbytes + 511) // 256 * 256
        self.kernels = {f.name: Kernel(f, self) for f in self.functions.values() if f.is_entry and f.body is not None}


class Kernel:
    """An entry point of a module."""

    def __init__(self, function: Function, module: Module) -> None:
        self.function, self.module = function, module
        self.name = function.name
        self.params = tuple(
            Param(v.name, np.dtype(f"V{v.nbytes}") if v.is_array else v.type.dtype, v.align) for v in function.params
        )
        self._program: Program | None = None

    @property
    def program(self) -> "Program":
        """Decoded on first use."""
        if self._program is None:
            self._program = Program(self)
        return self._program


def parse(ptx: str) -> Module:
    """Parse PTX text. Instructions that are not supported raise when a lane executes them. Raises ParseError."""
    return Module(ptx)


@dataclass
class Unit:
    """One function's part of the program: steps [start, end)."""

    function: Function
    start: int
    end: int = 0
    tracked: list[int] = field(default_factory=list)  # registers that a call makes uninitialised again


class Program:
    """`steps[pc]` with `guards[pc]`, a function from active to executing lanes. Functions come before their callers, so
    that the least pc, which runs first, is the innermost: lanes that were called come back before the others go on."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.module = kernel.module
        self.layout = Layout()
        self.steps: list[Step | Control] = []
        self.guards: list[tuple[int, bool, tuple[int, ...]] | None] = []
        self.instructions: list[Instruction] = []
        self.tracked: set[int] = set()
        self.units: dict[str, Unit] = {}
        self.shared_cell = self.global_cell = 16
        # Of each call: where the function's results lie and are copied to, and their sizes.
        self.results: dict[int, list[tuple[int, int, int]]] = {}
        self._functions: list[Function] = []
        self._order(kernel.function, [])
        self._place_variables()
        self._decode()
        self.block_end = self._block_ends()
        self.register_names = {i: (r.name, r.type.nbytes) for r, i in self.layout.registers.items()}
        self.entry = self.units[kernel.name].start

    def _order(self, function: Function, callers: list[str]) -> None:
        for inst in function.body or ():
            if inst.opcode != "call":
                continue
            callee = self.module.functions.get(self.callee(inst))
            if callee is None or callee.body is None or callee in self._functions:
                continue
            if callee.name in [*callers, function.name]:
                raise UnsupportedInstruction(f"recursion of {callee.name} in {self.kernel.name}")
            self._order(callee, [*callers, function.name])
        self._functions.append(function)

    @staticmethod
    def callee(inst: Instruction) -> str:
        names = [operand for operand in inst.operands if not operand.startswith("(")]
        return names[0] if names else ""

    # Variables.

    def _place_variables(self) -> None:
        """Shared memory holds what the program names, `.extern` arrays last; local memory all its functions' frames."""
        self._addresses: dict[Variable, int] = dict(self.module.addresses)
        names: set[str] = set()
        scopes: dict[int, Scope] = {}
        for function in self._functions:
            for inst in function.body or ():
                names.update(re.findall(r"[\w$%]+", " ".join(inst.operands)))
                scope: Scope | None = inst.scope
                while scope is not None:
                    scopes[id(scope)] = scope
                    scope = scope.parent
        variables = [v for scope in scopes.values() for v in scope.variables.values()]
        used = [v for v in variables if v.space == "shared" and v.name in names]
        self.static_shared = self._place([v for v in used if v.nbytes], 0)
        dynamic = [v for v in used if not v.nbytes]
        align = max((v.align for v in dynamic), default=1)
        self.dynamic_offset = (self.static_shared + align - 1) // align * align
        self._addresses.update(dict.fromkeys(dynamic, self.dynamic_offset))
        self.has_dynamic_shared = bool(dynamic)
        kernel_params = self.kernel.function.params
        self.param_bytes = self._place(kernel_params, PARAMETER_ADDRESS) - PARAMETER_ADDRESS
        frames = [v for v in variables if v.space in ("local", "param") and v not in kernel_params]
        self.local_bytes = self._place(frames, 0)

    def _place(self, variables: list[Variable] | tuple[Variable, ...], start: int) -> int:
        for variable in variables:
            start = (start + variable.align - 1) // variable.align * variable.align
            self._addresses[variable] = start
            start += variable.nbytes
        return start

    def address(self, variable: Variable) -> int:
        """Of a variable in its own state space. Raises UnsupportedInstruction for one initialised with addresses."""
        if variable not in self._addresses:
            raise UnsupportedInstruction(f"variable {variable.name}: its initial value")
        return self._addresses[variable]

    def param_offset(self, variable: Variable) -> int | None:
        """Where a parameter of the kernel is among the arguments; None for a device function's."""
        if variable in self.kernel.function.params:
            return self._addresses[variable] - PARAMETER_ADDRESS
        return None

    # Steps.

    def _decode(self) -> None:
        for function in self._functions:
            start = len(self.instructions)
            self.units[function.name] = Unit(function, start, start + len(function.body or ()) + 1)
            self.instructions += function.body or ()
            self.instructions.append(Instruction("ret", (), (), None, "ret (end of the body)", function.scope))
        decoders = [Decoder(inst, self, pc) for pc, inst in enumerate(self.instructions)]
        for decoder in decoders:
            try:
                self.steps.append(decoder.decode())
            except UnsupportedInstruction as error:
                decoder.reads, decoder.writes = [], []
                self.steps.append(_unsupported(error))
            self.guards.append(self._guard(decoder))
        for unit in self.units.values():
            self._track_assignments(unit, decoders)

    def _guard(self, decoder: Decoder) -> tuple[int, bool, tuple[int, ...]] | None:
        if decoder.inst.guard is None:
            return None
        name, negated = decoder.inst.guard
        slot, _ = decoder.predicate(name)
        return slot, negated, ()

    def label(self, name: str, pc: int) -> int:
        """The pc of a label of the function that `pc` is in. Raises ParseError."""
        for unit in self.units.values():
            if unit.start <= pc < unit.end and name in unit.function.labels:
                return unit.start + unit.function.labels[name]
        raise ParseError(f"no label {name} in the function of '{self.instructions[pc].text}'")

    def unit_at(self, pc: int) -> Unit:
        return next(unit for unit in self.units.values() if unit.start <= pc < unit.end)

    def successors(self, pc: int) -> list[int]:
        """Where control may go from `pc` within its function."""
        inst = self.instructions[pc]
        onwards = [pc + 1] if pc + 1 < self.unit_at(pc).end else []
        if inst.opcode in ("ret", "exit", "trap"):
            return onwards if inst.guard else []
        if inst.opcode == "bra":
            return [self.label(inst.operands[0], pc), *(onwards if inst.guard else [])]
        if inst.opcode == "brx":
            targets = self.unit_at(pc).function.branch_targets.get(inst.operands[1], ())
            return [*(self.label(name, pc) for name in targets), *(onwards if inst.guard else [])]
        return onwards

    def _track_assignments(self, unit: Unit, decoders: list[Decoder]) -> None:
        """Add the run-time check to the reads that the data flow cannot prove to be of written registers."""
        index = self.layout.index
        pcs = range(unit.start, unit.end)
        reads = {pc: {index(register) for register in decoders[pc].reads} for pc in pcs}
        writes = {pc: {index(register) for register in decoders[pc].writes} for pc in pcs}
        guarded = {pc for pc in pcs if decoders[pc].inst.guard}
        passing = {pc for pc in pcs if decoders[pc].flows}
        doubtful = unassigned_reads(unit.start, reads, writes, guarded, passing, self.successors)
        unit.tracked = sorted(set().union(*doubtful.values()))
        self.tracked.update(unit.tracked)
        for pc in pcs:
            checks = tuple(sorted(doubtful.get(pc, ())))
            guard = self.guards[pc]
            if guard is not None and checks:
                name = decoders[pc].inst.guard[0]  # type: ignore[index]
                own = index(decoders[pc].inst.scope.register(name))  # type: ignore[arg-type]
                self.guards[pc] = (guard[0], guard[1], (own,) if own in checks else ())
                other_reads = {index(r) for r in decoders[pc].reads[:-1]}
                checks = tuple(c for c in checks if c in other_reads)
            marks = tuple(sorted(writes[pc] & set(unit.tracked)))
            step = self.steps[pc]
            if marks and pc in passing and not isinstance(step, Control):
                self.steps[pc] = self._passing(step, decoders[pc])
            elif isinstance(step, Control):
                self.steps[pc] = _checked_control(step, checks) if checks else step
            elif checks or marks:
                self.steps[pc] = _checked(step, checks, marks)

    def _passing(self, step: Step, decoder: Decoder) -> Step:
        index = self.layout.index
        flows = [
            (index(flow.target), [None if s is None else index(s) for s in flow.sources], flow.combine)
            for flow in decoder.flows
        ]

        def run(batch: Batch, mask: Mask) -> None:
            every = np.uint8(0xFF)
            known = batch.initialised
            passed = [
                (target, combine(*[every if s is None else known.get(s, every) for s in sources]))
                for target, sources, combine in flows
            ]
            step(batch, mask)
            for target, octets in passed:
                if target in known:
                    np.copyto(known[target], octets, where=mask)

        return run

    def _block_ends(self) -> list[int]:
        ends, end = [], 0
        for pc in range(len(self.steps) - 1, -1, -1):
            if isinstance(self.steps[pc], Control):
                end = pc
            ends.append(end)
        return ends[::-1]


def _unsupported(error: UnsupportedInstruction) -> Step:
    def step(batch: Batch, mask: Mask) -> None:
        raise UnsupportedInstruction(error.detail)

    return step


def _checked(step: Step, checks: tuple[int, ...], marks: tuple[int, ...]) -> Step:
    def run(batch: Batch, mask: Mask) -> None:
        for register in checks:
            batch.require_initialised(register, mask)
        step(batch, mask)
        for register in marks:
            np.copyto(batch.initialised[register], np.uint8(0xFF), where=mask)

    return run


def _checked_control(control: Control, checks: tuple[int, ...]) -> Control:
    def run(batch: Batch, pc: int, active: Mask, taken: Mask) -> int | None:
        for register in checks:
            batch.require_initialised(register, taken)
        return control.run(batch, pc, active, taken)

    return Control(run)
