"""Set before jax or the native library is first imported: four virtual devices, float64, and outputs poisoned with NaN."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
os.environ["CSSM_KERNELS_POISON_OUTPUTS"] = "1"

import jax
import numpy as np
import pytest

jax.config.update("jax_enable_x64", True)


def pytest_configure(config: pytest.Config) -> None:
    """`pytest -m gpu` computes on the GPU, with the CPU beside it to compare with."""
    if config.option.markexpr == "gpu" and os.environ["JAX_PLATFORMS"] == "cpu":
        jax.config.update("jax_platforms", "cuda,cpu")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)
