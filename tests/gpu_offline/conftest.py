"""Proofs of the GPU path on a machine without a GPU. `make test-gpu-offline` installs what they need and runs them."""

import jax
import pytest


@pytest.fixture(params=[80, 90, 100, 120], ids="sm_{}".format)
def capability(request, monkeypatch):
    """The compute capability that programs inside the test are compiled for."""
    monkeypatch.setenv("CSSM_KERNELS_COMPUTE_CAPABILITY", str(request.param))
    jax.clear_caches()
    yield request.param
    jax.clear_caches()


@pytest.fixture
def one_capability(monkeypatch):
    """Where the kernels of one are as good as another's."""
    monkeypatch.setenv("CSSM_KERNELS_COMPUTE_CAPABILITY", "90")
    jax.clear_caches()
    yield 90
    jax.clear_caches()
