"""What the assembler makes of the kernels for each GPU they are built for."""

from __future__ import annotations

import functools
import subprocess

import pytest

from tools.gpu_offline import cuda_bridge, sass
from tools.gpu_offline.twin import cache_folder, locked, source_hash

pytestmark = pytest.mark.skipif(cuda_bridge.nvcc() is None, reason="no nvcc on this machine")

CAPABILITIES = (80, 90, 100, 120)
# Blocks of 160 threads, of an SM, that registers must leave room for; by the precision and longest side of the frames.
RESIDENT = {"IfLi16E": 3, "IfLi32E": 2, "IfLi64E": 1, "IdLi16E": 2, "IdLi32E": 1}
WARPS = 5
PARTITIONS = 4


@functools.cache
def kernels(source, capability) -> list[sass.Kernel]:
    cuda_bridge.compiled(source)
    folder = cache_folder("cubin")
    binary = folder / f"{source.stem}-sm_{capability}-{source_hash()}.cubin"
    with locked(folder):
        if not binary.exists():
            text = cache_folder("ptx") / f"{source.stem}-{cuda_bridge.VIRTUAL}-{source_hash()}.ptx"
            command = [cuda_bridge.nvcc(), "-cubin", f"-arch=sm_{capability}", str(text), "-o", str(binary)]
            subprocess.run(command, check=True, capture_output=True)
    return sass.inspect(binary, capability)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("source", cuda_bridge.SOURCES, ids=lambda path: path.stem)
def test_nothing_spills(source, capability):
    for kernel in kernels(source, capability):
        assert kernel.stack == 0, kernel.name
        assert kernel.count("LDL") == kernel.count("STL") == 0, kernel.name


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("source", cuda_bridge.SOURCES, ids=lambda path: path.stem)
def test_registers_leave_room_for_blocks(source, capability):
    """Warps are dealt out to the four partitions of a multiprocessor, each with 16K registers."""
    for kernel in kernels(source, capability):
        for name, blocks in RESIDENT.items():
            if name in kernel.name:
                warps = -(-blocks * WARPS // PARTITIONS)
                assert warps * -(-kernel.registers // 8) * 8 * 32 <= 16 * 1024, kernel.name


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("source", cuda_bridge.SOURCES, ids=lambda path: path.stem)
def test_spectra_move_in_whole_complex_numbers(source, capability):
    """One access for a complex number of a spectrum, and one for each pixel: none of the latter is split."""
    for kernel in kernels(source, capability):
        widths = kernel.widths("LDG")
        assert widths[128 if "Id" in kernel.name else 64] > 0, kernel.name
        assert set(widths) <= {8, 16, 32, 64, 128}
