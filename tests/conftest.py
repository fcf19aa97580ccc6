"""Set before jax or the native library is first imported: four virtual devices, float64, and outputs poisoned with NaN."""

import os
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=4",
        "--xla_cpu_parallel_codegen_split_count=1",  # in parts a program takes longer in all, and pytest fills the cores
    ]
)
os.environ["CSSM_KERNELS_POISON_OUTPUTS"] = "1"

import jax
import numpy as np
import pytest

jax.config.update("jax_enable_x64", True)


def pytest_configure(config: pytest.Config) -> None:
    """`pytest -m gpu` computes on the GPU, with the CPU beside it to compare with, as users do.

    Elsewhere the tests compile much and compute little: what XLA generates for itself is left unoptimised, in half the time.
    The native kernels are what they are. Where a multiply-add that is contracted or not makes the difference, `optimised`.
    """
    if config.option.markexpr != "gpu":
        jax.config.update("jax_disable_most_optimizations", True)
    elif os.environ["JAX_PLATFORMS"] == "cpu":
        jax.config.update("jax_platforms", "cuda,cpu")


@pytest.fixture(scope="module")
def optimised() -> Iterator[None]:
    """XLA's programs are those of users."""
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)
