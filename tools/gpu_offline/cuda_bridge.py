"""The PTX that nvcc makes of the kernels, and the twin's launches run on it by `tools.ptxsim` instead of the shim."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tools import ptxsim
from tools.gpu_offline.twin import REPOSITORY, Twin, cache_folder, locked, source_hash

SOURCES = sorted((REPOSITORY / "csrc/cuda").glob("*.cu"))
# The one the package is built for: the machine code of every GPU is made from this PTX.
VIRTUAL = "compute_80"


def nvcc() -> str | None:
    return shutil.which("nvcc")


def compiled(source: Path, root: Path = REPOSITORY, key: str = "") -> str:
    """The PTX of a kernel file under `root`, kept for as long as the native code stays as it is."""
    folder = cache_folder("ptx")
    path = folder / f"{source.stem}-{VIRTUAL}-{key or source_hash()}.ptx"
    with locked(folder):
        if not path.exists():
            includes = [f"-I{root / 'csrc'}", f"-I{root / 'csrc/cuda/device'}"]
            command = [nvcc(), "-ptx", "-std=c++17", f"-arch={VIRTUAL}", *includes, root / source, "-o", path]
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    return path.read_text()


@functools.cache
def module(source: Path) -> ptxsim.Module:
    return ptxsim.parse(compiled(source))


@functools.cache
def kernels() -> dict[str, ptxsim.Kernel]:
    """By mangled name, of all files."""
    return {name: kernel for source in SOURCES for name, kernel in module(source).kernels.items()}


@dataclass
class Launch:
    """What one launch did, and how large it was."""

    kernel: str
    blocks: int
    threads: int
    shared_bytes: int
    report: ptxsim.Report


@dataclass
class Launches:
    """The launches of one or more calls, in order."""

    done: list[Launch] = field(default_factory=list)
    error: Exception | None = None

    def of(self, part: str) -> list[Launch]:
        return [launch for launch in self.done if part in launch.kernel]


@contextmanager
def ptx_kernels(twin: Twin, available: dict[str, ptxsim.Kernel] | None = None) -> Iterator[Launches]:
    """Run the twin's launches on the PTX. Raises what the interpreter raised, races too.

    Results must be waited for inside: JAX's calls return before they are done.
    """
    launches = Launches()

    def hook(name, grid, block, shared_bytes, params, params_size, buffers, count):
        try:
            memory = ptxsim.GlobalMemory()
            for buffer in buffers[:count]:
                if buffer.bytes:
                    memory.map_at(buffer.data, buffer.bytes, writable=bool(buffer.writable))
            name = name.decode()
            argument = ctypes.string_at(params, params_size)
            kernel = (available or kernels())[name]
            sizes = tuple(grid.contents), tuple(block.contents)
            report = ptxsim.launch(kernel, *sizes, [argument], memory, dynamic_shared=shared_bytes)
            launches.done.append(Launch(name, sizes[0][0], sizes[1][0], shared_bytes, report))
            report.check()
        except Exception as error:  # cannot pass through C
            launches.error = launches.error or error
        return 0

    with twin.launch_hook(hook):
        try:
            yield launches
        finally:  # what went wrong first, rather than the wrong numbers it made
            if launches.error is not None:
                raise launches.error
