"""A few cases that touch every line of the kernels for small frames: what the mutants of test_mutants.py must not pass."""

from __future__ import annotations

import pytest

from tests.gpu_offline.spectral.cases import CHECKED, force_chunks
from tests.spectral_scan.cases import Case
from tests.spectral_scan.test_gradients import check_gradients
from tests.spectral_scan.test_values import check_values

CASE = Case((2,), 19, (4, 8, 5), h0=(2,), reset=(2,))


@pytest.mark.parametrize("last_first", [False, True])
@pytest.mark.parametrize("chunk", [0, 8])
def test_values_and_gradients(chunk, last_first, twin, rng, monkeypatch):
    force_chunks(monkeypatch, chunk)
    twin.set_last_thread_first(last_first)
    check_values(CASE, "float32", rng, **CHECKED)
    check_gradients(CASE, "float32", rng, **CHECKED, reverse=True)
    twin.set_shared_memory(8 << 10, 18 << 10)
    check_gradients(CASE, "float32", rng, **CHECKED)
