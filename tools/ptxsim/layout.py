"""Where a program's operands lie while it runs.

Every operand of every instruction is a *slot*: an index into `Batch.views`, a list of arrays with one element a lane (or
0-d, if all lanes have the same value). A register read as several types has a slot, that is a NumPy view, for each; a
narrow read of a wide register is a strided view of its low bytes. So no operand is converted while instructions run.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tools.ptxsim.ptx_types import Type
from tools.ptxsim.syntax import Register

if TYPE_CHECKING:
    from tools.ptxsim.batch import Batch

POISON = 0xDEADBEEFDEADBEEF
_ROW_GROUPS = (1, 8, 16, 32, 64)


@dataclass
class Layout:
    """The slots of one program, filled while it is decoded."""

    registers: dict[Register, int] = field(default_factory=dict)
    _slots: dict[object, int] = field(default_factory=dict)
    _makers: list[Callable[["Batch"], np.ndarray]] = field(default_factory=list)

    def _slot(self, key: object, maker: Callable[["Batch"], np.ndarray]) -> int:
        if key not in self._slots:
            self._slots[key] = len(self._makers)
            self._makers.append(maker)
        return self._slots[key]

    def index(self, register: Register) -> int:
        return self.registers.setdefault(register, len(self.registers))

    def view(self, register: Register, dtype: np.dtype, *, pack: int = 1) -> int:
        """The register as `dtype`: its low bytes, or all of it as `pack` elements a lane."""
        index = self.index(register)

        def maker(batch: "Batch") -> np.ndarray:
            row = batch.rows[index].view(dtype)
            ratio = len(row) // batch.lanes
            return row if pack == ratio else row[::ratio]

        return self._slot((index, dtype.str, pack), maker)

    def constant(self, value: np.ndarray, *, pack: int = 1) -> int:
        """A 0-d array, or `pack` elements that repeat for each lane."""

        def maker(batch: "Batch") -> np.ndarray:
            return value if pack == 1 else np.tile(value, batch.lanes)

        return self._slot((value.tobytes(), value.dtype.str, pack), maker)

    def special(self, name: str, type_: Type) -> int:
        def maker(batch: "Batch") -> np.ndarray:
            value = batch.special(name)
            return value if value.ndim == 0 else value.astype(type_.dtype)

        return self._slot((name, type_.name), maker)

    def rows(self, lanes: int) -> list[np.ndarray]:
        """Poisoned storage of every register, in its own width."""
        rows: list[np.ndarray] = [np.empty(0)] * len(self.registers)
        for bits in _ROW_GROUPS:
            group = [index for register, index in self.registers.items() if register.type.bits == bits]
            if bits == 1:
                storage = np.zeros((len(group), lanes), bool)
            else:
                storage = np.full((len(group), lanes), POISON & ((1 << bits) - 1), f"u{bits // 8}")
            for row, index in zip(storage, group):
                rows[index] = row
        return rows

    def views(self, batch: "Batch") -> list[np.ndarray]:
        return [maker(batch) for maker in self._makers]
