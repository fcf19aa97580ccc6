"""What the assembler makes of a kernel: registers, stack, and the instructions that reach memory."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from triton.backends import nvidia

_TOOLS = Path(nvidia.__file__).parent / "bin"
_REGISTERS_PER_MULTIPROCESSOR = 64 * 1024
_WARPS_PER_MULTIPROCESSOR = {80: 64, 90: 64, 100: 64, 120: 48}


@dataclass(frozen=True)
class Kernel:
    """Attributes: stack: bytes of local memory a thread, where spills go; shared: static shared memory; instructions: by
    opcode with its modifiers."""

    name: str
    capability: int
    registers: int
    stack: int
    shared: int
    instructions: Counter[str]

    def count(self, opcode: str) -> int:
        """Instructions of this opcode, whatever its modifiers."""
        return sum(n for name, n in self.instructions.items() if name.split(".")[0] == opcode)

    def widths(self, opcode: str) -> Counter[int]:
        """Bits of each access of `opcode`, LDG or STG."""
        widths: Counter[int] = Counter()
        for name, n in self.instructions.items():
            base, *modifiers = name.split(".")
            if base == opcode:
                bits = [int(m) for m in modifiers if m in ("64", "128", "256")]
                small = [8 for m in modifiers if m in ("U8", "S8")] + [16 for m in modifiers if m in ("U16", "S16")]
                widths[(bits or small or [32])[0]] += n
        return widths

    def warps_resident(self) -> int:
        """Warps a multiprocessor holds at once, as far as registers allow (they are given out in 8s a thread)."""
        each = -(-self.registers // 8) * 8 * 32
        return min(_WARPS_PER_MULTIPROCESSOR[self.capability], _REGISTERS_PER_MULTIPROCESSOR // each)


def assemble(ptx: str, capability: int, assembler: str | Path = _TOOLS / "ptxas") -> list[Kernel]:
    """Every kernel of a PTX module, assembled for the GPUs of its own target.

    Raises:
      subprocess.CalledProcessError: the assembler rejects it; its message is in the error's stderr.
    """
    target = re.search(r"\.target (sm_\w+)", ptx)
    assert target is not None
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx)
        _run([assembler, f"-arch={target[1]}", source, "-o", binary])
        return inspect(binary, capability)


def inspect(binary: Path, capability: int) -> list[Kernel]:
    """Every kernel for `capability` in a cubin, or a library that holds some."""
    usage = {}
    tool = _TOOLS / "cuobjdump"
    for arch, name, line in _by_kernel(_run([tool, "-res-usage", binary]), r"Function (\S+?):", r"\s*(REG:.*)"):
        usage[arch, name] = {key: int(value) for key, value in re.findall(r"(\w+)(?:\[\d+\])?:(\d+)", line)}
    opcodes: dict[tuple[int, str], Counter[str]] = {key: Counter() for key in usage}
    pattern = r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)"
    for arch, name, opcode in _by_kernel(_run([tool, "-sass", binary]), r"Function : (\S+)", pattern):
        opcodes[arch, name][opcode] += 1
    return [
        Kernel(name, capability, use["REG"], use["STACK"], use["SHARED"], opcodes[arch, name])
        for (arch, name), use in usage.items()
        if arch in (0, capability)  # 0: a cubin, which does not say
    ]


def _by_kernel(listing: str, heading: str, pattern: str):
    """(architecture, kernel, match) of each line of a listing that matches."""
    arch, name = 0, ""
    for line in listing.splitlines():
        if found := re.search(r"arch = sm_(\d+)", line):
            arch = int(found[1])
        elif found := re.search(heading, line):
            name = found[1]
        elif found := re.match(pattern, line):
            yield arch, name, found[1]


def _run(command) -> str:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
