"""Which implementation runs where, what it refuses, and what the rest of JAX makes of its calls."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cssm_kernels import _native, spectral_scan
from cssm_kernels.spectral_scan import cuda
from tests.gpu_offline.spectral.cases import CHECKED
from tests.spectral_scan.cases import Case, call, compiled, make_cotangents, make_operands, pulled_back

K = np.ones((8, 5, 3), np.complex64)
X = np.ones((2, 8, 8, 3), np.float32)


@pytest.mark.parametrize(
    "frame, dtype",
    [((8, 6, 3), "float32"), ((12, 8, 3), "float32"), ((128, 8, 1), "float32"), ((64, 8, 1), "float64")],
    ids=str,
)
def test_named_refuses_what_it_does_not_take(frame, dtype, rng):
    operands = make_operands(Case((), 2, frame), dtype, rng)
    with pytest.raises(ValueError, match=r"'cuda'.* does not take these operands"):
        call(operands, **CHECKED)


def test_named_refuses_without_the_kernels(monkeypatch):
    monkeypatch.setattr(_native, "load_cuda", lambda: None)
    with pytest.raises(ImportError, match=r"CUDA kernels of cssm_kernels were not built; .*CSSM_CUDA=ON"):
        spectral_scan(X, K, implementation="cuda")


def test_what_fits():
    assert cuda.fits((2,), 9, (64, 1, 5), "complex64")
    assert not cuda.fits((2,), 9, (64, 1, 5), "complex128")
    assert not cuda.fits((1,) * 9, 9, (8, 8, 5), "complex64")
    assert not cuda.fits((2**10,), 2**11, (8, 8, 2**10), "complex64")


def lowered_for_gpu(frame, dtype="float32", **options) -> str:
    height, width, channels = frame
    x = jax.ShapeDtypeStruct((2, 9, *frame), dtype)
    k = jax.ShapeDtypeStruct((height, width // 2 + 1, channels), jnp.result_type(dtype, "complex64"))

    def loss(x, k):
        y, final = spectral_scan(x, k, return_final=True, **options)
        return jnp.sum(y) + jnp.sum(jnp.abs(final))

    return jax.jit(jax.grad(loss, (0, 1))).trace(x, k).lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize("options", [{}, CHECKED], ids=str)
def test_lowers_to_two_calls_for_a_gpu(options):
    text = lowered_for_gpu((16, 8, 5), **options)
    calls = re.findall(r"custom_call @(\w+)", text)
    assert sorted(calls) == ["cssm_cuda_spectral_scan_backward", "cssm_cuda_spectral_scan_forward"]


@pytest.mark.parametrize("frame", [(16, 8, 5), (12, 8, 5)])
def test_lowers_to_the_definition_where_there_is_no_kernel(frame, monkeypatch):
    """Without the library, or for frames it does not take."""
    monkeypatch.setenv("CSSM_KERNELS_COMPUTE_CAPABILITY", "90")  # for the kernels of linear_scan, if there are any
    if frame == (16, 8, 5):
        monkeypatch.setattr(_native, "load_cuda", lambda: None)
    text = lowered_for_gpu(frame)
    assert "spectral_scan" not in re.findall(r"custom_call @(\w+)", text)
    assert "fft" in text


def test_few_sequences_are_cut_in_time():
    assert cuda.chunk_steps((64,), 1000, 64, 8) == 1000, "as many blocks as fill a GPU"
    assert cuda.chunk_steps((1,), 1024, 64, 8) == 32
    assert cuda.chunk_steps((1,), 1024, 1, 8) == 16, "but no chunk shorter than two segments"
    assert cuda.chunk_steps((), 9, 1, 8) == 9
    assert cuda.chunk_steps((0,), 9, 1, 8) == 9


def test_vmap(rng):
    operands = make_operands(Case((3, 2), 9, (4, 8, 3), h0=(3, 2)), "float32", rng)
    run = lambda x, h0: call({"x": x, "h0": h0, "k_hat": operands["k_hat"]}, **CHECKED)
    for actual, expected in zip(
        jax.jit(jax.vmap(run))(operands["x"], operands["h0"]), compiled(operands, **CHECKED), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)


def test_sharded_over_batch_and_channels(rng):
    """Each device makes calls of its own; the gradient of k_hat is summed over them."""
    case = Case((4,), 9, (4, 8, 4), h0=(4,))
    operands, cotangents = make_operands(case, "float32", rng), make_cotangents(case, "float32", False, rng)
    mesh = jax.make_mesh((2, 2), ("batch", "channels"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    spec = jax.sharding.PartitionSpec
    put = lambda value, *axes: jax.device_put(value, jax.sharding.NamedSharding(mesh, spec(*axes)))
    sharded = {
        "x": put(operands["x"], "batch", None, None, None, "channels"),
        "h0": put(operands["h0"], "batch", None, None, "channels"),
        "k_hat": put(operands["k_hat"], None, None, "channels"),
    }
    run = jax.jit(lambda o, ct: pulled_back(o, ct, **CHECKED))
    for actual, expected in zip(jax.tree.leaves(run(sharded, cotangents)), jax.tree.leaves(run(operands, cotangents))):
        np.testing.assert_allclose(actual, expected, 1e-5, 1e-5)


@pytest.mark.parametrize("empty", [dict(x_batch=(0,)), dict(frame=(4, 8, 0)), dict(steps=0)], ids=str)
def test_nothing_to_do(empty, rng):
    case = Case(**{"x_batch": (2,), "steps": 3, "frame": (4, 8, 3), **empty})
    operands, cotangents = make_operands(case, "float32", rng), make_cotangents(case, "float32", False, rng)
    (y, final), grads = pulled_back(operands, cotangents, **CHECKED)
    assert (y.size, final.size) == (0, 0 if case.steps else final.size)
    np.testing.assert_array_equal(grads["k_hat"], 0)
