"""What a launch did: traffic, instructions, races."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from tools.ptxsim.errors import RaceError


class Race(NamedTuple):
    """Two unordered accesses, at least one a store.

    kind: RAW, WAR, WW (shared memory, threads of different warps, or two values by one store instruction), "warp" (shared
    memory, lanes of one warp without a `bar.warp.sync` between), "global" (different blocks), or "redundant" (different
    warps store the same value: harmless).
    """

    kind: str
    instruction: str
    kernel: str


@dataclass
class Report:
    """Of one launch; reports add. Counts are of warp-level instructions, as a profiler's are.

    bytes_*: of global memory, distinct within each instruction. sectors_*: 32-byte sectors touched by each.
    instructions: issues by full opcode. *_widths: issues of global accesses by bytes a lane.
    """

    bytes_loaded: int = 0
    bytes_stored: int = 0
    sectors_loaded: int = 0
    sectors_stored: int = 0
    instructions: Counter[str] = field(default_factory=Counter)
    load_widths: Counter[int] = field(default_factory=Counter)
    store_widths: Counter[int] = field(default_factory=Counter)
    races: tuple[Race, ...] = ()

    def __add__(self, other: "Report") -> "Report":
        return Report(
            self.bytes_loaded + other.bytes_loaded,
            self.bytes_stored + other.bytes_stored,
            self.sectors_loaded + other.sectors_loaded,
            self.sectors_stored + other.sectors_stored,
            self.instructions + other.instructions,
            self.load_widths + other.load_widths,
            self.store_widths + other.store_widths,
            tuple(sorted({*self.races, *other.races})),
        )

    def check(self) -> "Report":
        """Return this report. Raises RaceError if there are races other than redundant stores."""
        races = [race for race in self.races if race.kind != "redundant"]
        if races:
            raise RaceError("\n".join(f"{race.kind} race in {race.kernel}: {race.instruction}" for race in races))
        return self
