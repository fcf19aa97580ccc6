"""PTX that nvcc emits for kernels.cu: right numbers, no race, and the planted faults found."""

import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tools import ptxsim

SOURCE = Path(__file__).with_name("kernels.cu")
NVCC = shutil.which("nvcc")
pytestmark = pytest.mark.skipif(NVCC is None, reason="nvcc not found")


@cache
def module(arch: int, *defines: str) -> ptxsim.Module:
    command = [str(NVCC), "-ptx", "-std=c++17", f"-arch=sm_{arch}", *(f"-D{name}" for name in defines)]
    done = subprocess.run([*command, "-o", "-", str(SOURCE)], capture_output=True, text=True, check=True)
    return ptxsim.parse(done.stdout)


def launch(kernel: ptxsim.Kernel, grid: tuple, block: tuple, args: list, dynamic_shared: int = 0) -> ptxsim.Report:
    memory = ptxsim.GlobalMemory()
    addresses = [memory.map(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
    return ptxsim.launch(kernel, grid, block, addresses, memory, dynamic_shared)


@pytest.fixture(params=[80, 90, 100])
def arch(request: pytest.FixtureRequest) -> int:
    return request.param


def test_transpose(arch: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((70, 50)).astype(np.float32)
    out = np.full((50, 70), np.nan, np.float32)
    report = launch(module(arch).kernels["transpose"], (2, 3, 1), (32, 8, 1), [x, out, 70, 50])
    np.testing.assert_array_equal(out, x.T)
    assert report.races == ()


def test_transpose_without_its_barrier(rng: np.random.Generator) -> None:
    x = rng.standard_normal((64, 64)).astype(np.float32)
    kernel = module(80, "NO_BARRIER").kernels["transpose"]
    with pytest.raises((ptxsim.RaceError, ptxsim.UninitialisedRead)):
        launch(kernel, (2, 2, 1), (32, 8, 1), [x, np.zeros_like(x), 64, 64]).check()


def test_warp_scan(arch: int, rng: np.random.Generator) -> None:
    ax = rng.uniform(-1, 1, (6, 32, 2)).astype(np.float32)
    h = np.full((6, 32), np.nan, np.float32)
    report = launch(module(arch).kernels["warp_scan"], (3, 1, 1), (64, 1, 1), [ax, h]).check()
    want, state = np.zeros((6, 32)), np.zeros(6)
    for t in range(32):
        state = ax[:, t, 0] * state + ax[:, t, 1]
        want[:, t] = state
    np.testing.assert_allclose(h, want, rtol=0, atol=1e-5)
    assert report.load_widths == {8: 6}


def test_early_return_before_a_shuffle() -> None:
    kernel = module(80, "EARLY_RETURN").kernels["warp_scan"]
    with pytest.raises(ptxsim.MissingLanes):
        launch(kernel, (1, 1, 1), (32, 1, 1), [np.ones((32, 2), np.float32), np.zeros(32, np.float32)])


def test_float4_copy(arch: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((1000, 4)).astype(np.float32)
    out = np.zeros_like(x)
    report = launch(module(arch).kernels["copy4"], (8, 1, 1), (128, 1, 1), [x, out, 1000])
    np.testing.assert_array_equal(out, x)
    assert set(report.load_widths) == set(report.store_widths) == {16}
    assert report.bytes_loaded == report.bytes_stored == x.nbytes
    assert report.sectors_loaded == x.nbytes // 32
    with pytest.raises(ptxsim.OutOfBounds):
        launch(module(arch).kernels["copy4"], (8, 1, 1), (128, 1, 1), [x, out, 1001])


def test_struct_of_pointers_by_value(arch: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal(150)
    out = np.full(150, np.nan)
    memory = ptxsim.GlobalMemory()
    places = memory.map_at(x.ctypes.data, x.nbytes, writable=False), memory.map_at(out.ctypes.data, out.nbytes)
    arguments = struct.pack("QQi4xd", *places, 150, 0.5)
    for name, power in (("square", 2), ("cube", 3)):
        ptxsim.launch(module(arch).kernels[name], (2, 1, 1), (96, 1, 1), [arguments], memory).check()
        np.testing.assert_allclose(out, 0.5 * x**power, rtol=1e-15)


def test_functions(arch: int, rng: np.random.Generator) -> None:
    x = np.concatenate([rng.standard_normal(60), [0.0, 1e5, 2e9, 1e300]])
    y = np.concatenate([rng.standard_normal(60), [0.0, 1e5, 2e9, 1e30]]).astype(np.float32)
    out, out32 = np.full(64, np.nan), np.full(64, np.nan, np.float32)
    launch(module(arch).kernels["functions"], (1, 1, 1), (64, 1, 1), [x, out, y, out32, 64]).check()
    np.testing.assert_allclose(out, np.sin(x) + np.sqrt(np.abs(x)) / 3, rtol=4e-16, atol=4e-16)
    wide = y.astype(np.float64)
    np.testing.assert_allclose(out32, np.cos(wide) + np.exp(-np.abs(wide)) / (1 + wide**2), rtol=0, atol=3e-7)


def test_function_that_is_not_inlined(arch: int) -> None:
    x = np.linspace(0, 1, 64).astype(np.float32)
    want = [sum(float(v) ** k for k in range(3 + i % 4)) for i, v in enumerate(x)]
    kernel = module(arch).kernels["called"]
    launch(kernel, (1, 1, 1), (64, 1, 1), [x, 3]).check()
    np.testing.assert_allclose(x, want, rtol=1e-6)
    with pytest.raises(ptxsim.DeviceTrap, match="assertion"):
        launch(kernel, (1, 1, 1), (64, 1, 1), [x, 100])


def test_block_sum_in_dynamic_shared_memory(arch: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal(1000).astype(np.float32)
    out = np.zeros(1, np.float32)
    kernel = module(arch).kernels["block_sum"]
    launch(kernel, (1, 1, 1), (256, 1, 1), [x, out, 1000], 1024).check()
    np.testing.assert_allclose(out[0], x.sum(dtype=np.float64), rtol=1e-5)
    with pytest.raises(ptxsim.OutOfBounds, match="shared memory"):
        launch(kernel, (1, 1, 1), (256, 1, 1), [x, out, 1000], 1020)
