"""PTX that Triton emits for each generation: right numbers, no race, every output written."""

from collections.abc import Iterator
from functools import cache

import ml_dtypes
import numpy as np
import pytest

from tools import ptxsim

triton = pytest.importorskip("triton", reason="triton not found")
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from tests.gpu_offline.ptxsim import triton_kernels  # noqa: E402

CAPABILITIES = [80, 90, 100, 120]
DTYPES = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16, "fp32": np.float32, "fp64": np.float64}
ROUNDOFF = {"fp16": 2.0**-11, "bf16": 2.0**-8, "fp32": 2.0**-24, "fp64": 2.0**-53}


@pytest.fixture(scope="module", autouse=True)
def cache_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Triton compiles into a directory of its own, so that every run compiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        yield


@cache
def compiled(
    name: str, dtype: str, capability: int, warps: int, constants: tuple[tuple[str, int], ...]
) -> ptxsim.Kernel:
    function = getattr(triton_kernels, name)
    signature = {
        p: "constexpr" if p in dict(constants) else "i32" if p in ("n", "steps") else f"*{dtype}"
        for p in function.arg_names
    }
    source = ASTSource(function, signature, constexprs=dict(constants))
    options = {"num_warps": warps, "enable_fp_fusion": True}
    binary = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    return ptxsim.parse(binary.asm["ptx"]).kernels[name]


def launch(kernel: ptxsim.Kernel, grid: int, warps: int, arrays: list[np.ndarray], *scalars: int) -> ptxsim.Report:
    """With the arrays, the scalars, and null for the scratch pointers at the end."""
    memory = ptxsim.GlobalMemory()
    args = [memory.map(array) for array in arrays] + list(scalars)
    args += [0] * (len(kernel.params) - len(args))
    size = (32 * warps, 1, 1)
    return ptxsim.launch(kernel, (grid, 1, 1), size, args, memory, dynamic_shared=1 << 16).check()


def close(got: np.ndarray, want: np.ndarray, dtype: str, operations: int) -> None:
    bound = operations * ROUNDOFF[dtype] * (np.abs(want).max() + 1)
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=0, atol=bound)


def poisoned(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.full(shape, np.nan, DTYPES[dtype])


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_add(dtype: str, capability: int, rng: np.random.Generator) -> None:
    n = 1300
    x, y = rng.standard_normal((2, n)).astype(DTYPES[dtype])
    out = poisoned((n,), dtype)
    report = launch(compiled("add", dtype, capability, 4, (("block", 512),)), 3, 4, [x, y, out], n)
    np.testing.assert_array_equal(out, x + y)
    assert report.bytes_stored == out.nbytes
    assert report.bytes_loaded == 2 * out.nbytes


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize(("dtype", "warps"), [("fp32", 4), ("fp32", 1), ("fp64", 4), ("bf16", 2)])
def test_scan(dtype: str, warps: int, capability: int, rng: np.random.Generator) -> None:
    steps, channels = 64, 16
    a = (rng.random((steps, channels)) * 0.9).astype(DTYPES[dtype])
    x = rng.standard_normal((steps, channels)).astype(DTYPES[dtype])
    h = poisoned((steps, channels), dtype)
    constants = (("steps", steps), ("channels", channels))
    launch(compiled("scan", dtype, capability, warps, constants), 1, warps, [a, x, h])
    want, state = np.zeros((steps, channels)), np.zeros(channels)
    for t in range(steps):
        state = state * a[t].astype(np.float64) + x[t].astype(np.float64)
        want[t] = state
    close(h, want, dtype, 40)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize(("dtype", "warps"), [("fp32", 4), ("fp16", 4), ("fp64", 1)])
def test_sums(dtype: str, warps: int, capability: int, rng: np.random.Generator) -> None:
    rows, columns = 64, 32
    x = rng.standard_normal((rows, columns)).astype(DTYPES[dtype])
    of_columns, of_rows = poisoned((columns,), dtype), poisoned((rows,), dtype)
    constants = (("rows", rows), ("columns", columns))
    launch(compiled("sums", dtype, capability, warps, constants), 1, warps, [x, of_columns, of_rows])
    close(of_columns, x.astype(np.float64).sum(0), dtype, 10)
    close(of_rows, x.astype(np.float64).sum(1), dtype, 10)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_loop_over_time(dtype: str, capability: int, rng: np.random.Generator) -> None:
    steps, n = 7, 700
    a, x = (0.5 * rng.standard_normal((2, steps, n))).astype(DTYPES[dtype])
    h = poisoned((steps, n), dtype)
    launch(compiled("recurrence", dtype, capability, 4, (("block", 256),)), 3, 4, [a, x, h], n, steps)
    want, state = np.zeros((steps, n)), np.zeros(n)
    for t in range(steps):
        state = state * a[t].astype(np.float64) + np.exp(x[t].astype(np.float64))
        want[t] = state
    close(h, want, dtype, 8)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize(("dtype", "warps"), [("fp32", 4), ("bf16", 4), ("fp64", 1)])
def test_transpose(dtype: str, warps: int, capability: int, rng: np.random.Generator) -> None:
    """Through shared memory, with stmatrix or ldmatrix where the element is of 16 bits."""
    x = rng.standard_normal((32, 64)).astype(DTYPES[dtype])
    out = poisoned((64, 32), dtype)
    constants = (("rows", 32), ("columns", 64))
    launch(compiled("transpose", dtype, capability, warps, constants), 1, warps, [x, out])
    np.testing.assert_array_equal(out, x.T)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_barrier_taken_out_of_a_transpose(capability: int, rng: np.random.Generator) -> None:
    """The same PTX without its barriers races, whatever numbers it computes."""
    source = ASTSource(
        triton_kernels.transpose,
        {"x": "*fp32", "out": "*fp32", "rows": "constexpr", "columns": "constexpr"},
        constexprs={"rows": 32, "columns": 64},
    )
    options = {"num_warps": 4, "enable_fp_fusion": True}
    text = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options).asm["ptx"]
    assert "bar.sync" in text
    mutant = ptxsim.parse(text.replace("bar.sync \t0;", "")).kernels["transpose"]
    x = rng.standard_normal((32, 64)).astype(np.float32)
    with pytest.raises((ptxsim.RaceError, ptxsim.UninitialisedRead)):
        launch(mutant, 1, 4, [x, poisoned((64, 32), "fp32")])


def test_bound_that_is_one_too_large(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 300)).astype(np.float32)
    with pytest.raises(ptxsim.OutOfBounds):
        launch(
            compiled("add", "fp32", 90, 4, (("block", 512),)), 1, 4, [x.copy(), y.copy(), poisoned((300,), "fp32")], 301
        )
