"""The real kernels, in PTX, run lane by lane: their numbers, their races, and what they move."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from tests.gpu_offline.spectral.cases import CHECKED, force_chunks
from tests.spectral_scan.cases import Case, compiled, make_cotangents, make_operands, pulled_back
from tests.spectral_scan.test_gradients import check_gradients
from tests.spectral_scan.test_values import check_values
from tools.gpu_offline import cuda_bridge
from tools.gpu_offline.cuda_bridge import ptx_kernels

pytestmark = pytest.mark.skipif(cuda_bridge.nvcc() is None, reason="no nvcc on this machine")

# (case, dtype, chunk): each kernel, both directions of time, each optional operand.
CASES = [
    (Case((2,), 3, (4, 8, 5), h0=(1,), reset=(2,)), "float32", 0),
    (Case((2,), 10, (2, 4, 3), k_batch=(2,), h0=(2,)), "float32", 8),
    (Case((), 9, (1, 1, 3), reset=()), "bfloat16", 8),
    (Case((), 2, (8, 2, 9)), "float16", 0),
    (Case((), 9, (4, 4, 3), h0=()), "float64", 8),
    (Case((), 2, (32, 32, 8), h0=()), "float32", 0),
    (Case((), 2, (32, 4, 3)), "float64", 0),
    (Case((), 9, (64, 2, 2)), "float32", 8),
    (Case((), 1, (2, 64, 2)), "bfloat16", 0),
]


@pytest.mark.parametrize("case, dtype, chunk", CASES, ids=lambda v: str(v))
def test_values_and_gradients(case, dtype, chunk, twin, rng, monkeypatch):
    force_chunks(monkeypatch, chunk)
    with ptx_kernels(twin) as launches:
        check_values(case, dtype, rng, **CHECKED, reverse=chunk > 0)
        check_gradients(case, dtype, rng, **CHECKED, reverse=chunk == 0)
    assert launches.of("spectral_forward")
    assert launches.of("spectral_backward")
    assert bool(launches.of("spectral_chain")) == (chunk > 0)


def test_last_only(twin, rng, monkeypatch):
    """The earlier chunks run once, for what they hand on."""
    force_chunks(monkeypatch, 8)
    case = Case((), 20, (2, 4, 3), h0=())
    with ptx_kernels(twin) as launches:
        check_values(case, "float32", rng, **CHECKED, last_only=True)
    assert [launch.blocks for launch in launches.of("spectral_forward")] == [2, 1]
    with ptx_kernels(twin):
        check_gradients(case, "float32", rng, **CHECKED, last_only=True)


@pytest.mark.parametrize("kib", [3, 4, 6])
def test_states_that_do_not_all_fit(kib, twin, rng):
    twin.set_shared_memory(kib << 10, 2 * (kib + 1) << 10)
    with ptx_kernels(twin) as launches:
        check_gradients(Case((), 11, (4, 8, 3), h0=()), "float32", rng, **CHECKED)
    assert launches.of("spectral_backward")[0].shared_bytes <= kib << 10


def test_twin_and_ptx_agree(twin, rng):
    """To rounding: the twin's compiler contracts products and sums as it likes."""
    case = Case((2,), 4, (8, 8, 3), h0=(2,))
    operands, cotangents = make_operands(case, "float32", rng), make_cotangents(case, "float32", False, rng)
    run = jax.jit(lambda o, ct: jax.tree.leaves(pulled_back(o, ct, **CHECKED)))
    on_twin = list(map(np.asarray, run(operands, cotangents)))
    with ptx_kernels(twin):
        on_ptx = list(map(np.asarray, run(operands, cotangents)))
    for actual, expected in zip(on_ptx, on_twin):
        np.testing.assert_allclose(actual, expected, 1e-4, 1e-5 * np.max(np.abs(expected)))


def traffic(twin, case, dtype, run):
    """(bytes loaded, bytes stored, sectors loaded, sectors stored) of the main pass, per frame of a channel's pixels."""
    with ptx_kernels(twin) as launches:
        jax.block_until_ready(run())
    (launch,) = launches.of(run.__name__)
    report, frames = launch.report, case.steps * np.prod(case.batch, dtype=int)
    return (report.bytes_loaded / frames, report.bytes_stored / frames), (
        32 * report.sectors_loaded / frames,
        32 * report.sectors_stored / frames,
    )


@pytest.mark.parametrize("dtype, waste", [("float32", 1), ("bfloat16", 2)])
def test_forward_traffic(dtype, waste, twin, rng):
    """Each frame is read once and written once, in whole sectors; k_hat and the final state once a sequence."""
    case = Case((), 16, (8, 8, 8))
    operands = make_operands(case, dtype, rng)

    def spectral_forward():
        return compiled(operands, **CHECKED)

    moved, sectors = traffic(twin, case, dtype, spectral_forward)
    frame = 8 * 8 * 8 * (4 if dtype == "float32" else 2)
    spectrum = 8 * 5 * 8 * 8 / case.steps
    assert moved == (frame + spectrum, frame + spectrum)
    assert sectors == (waste * frame + spectrum, waste * frame + spectrum)


@pytest.mark.parametrize("kib, readings", [(227, 7 / 8), (11, 10 / 8), (8, 16 / 8)])
def test_backward_traffic(kib, readings, twin, rng):
    """ct once, dx once, x as often as the states that shared memory holds make necessary."""
    case = Case((), 16, (8, 8, 8))
    operands, cotangents = make_operands(case, "float32", rng), make_cotangents(case, "float32", False, rng)
    twin.set_shared_memory(kib << 10, 2 * kib << 10)

    def spectral_backward():
        return jax.jit(lambda o, ct: pulled_back(o, ct, **CHECKED)[1])(operands, cotangents)

    (loaded, stored), _ = traffic(twin, case, "float32", spectral_backward)
    frame, spectrum = 8 * 8 * 8 * 4, 8 * 5 * 8 * 8
    # k, the cotangent of the final state, a checkpoint for each part of the second segment, the first part of dk.
    parts = {7 / 8: 1, 10 / 8: 2, 16 / 8: 4}[readings]
    assert loaded == frame * (1 + readings) + spectrum * (2 + parts + 1) / case.steps
    assert stored == frame + spectrum * 2 / case.steps
