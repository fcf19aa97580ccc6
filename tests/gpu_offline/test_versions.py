"""jax-triton is optional, and only some versions of it work with some of jax."""

from __future__ import annotations

import importlib.util

import jax
import numpy as np
import pytest

from cssm_kernels import linear_scan
from cssm_kernels._triton import call

X = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    "jax_version, triton_version, works",
    [("0.10.2", "0.3.1", True), ("0.11.2", "0.4.1", True), ("0.12.0.1", "0.4.1", False), ("0.12.1", "0.5.0", True)]
    + [("0.11.2", "0.3.1", False), ("0.10.2", "0.4.1", False), ("0.12.0", "0.3.1", False)],
)
def test_which_pairings_are_refused(jax_version, triton_version, works):
    problem = call.broken_pairing(jax_version, triton_version)
    if works:
        assert problem is None
    else:
        assert jax_version in problem
        assert triton_version in problem
        assert "expected jax 0.10 with jax-triton 0.3, or jax 0.11 with jax-triton 0.4.1" in problem


@pytest.fixture
def uncached():
    call.load.cache_clear()
    jax.clear_caches()
    yield
    call.load.cache_clear()
    jax.clear_caches()


def test_a_broken_pairing_raises(monkeypatch, uncached):
    versions = {"jax": "0.12.0.1", "jax-triton": "0.4.1"}
    monkeypatch.setattr(call.importlib.metadata, "version", versions.__getitem__)
    with pytest.raises(ImportError, match=r"jax 0.12.0.1 and jax-triton 0.4.1 do not work together"):
        linear_scan(X, X, implementation="triton")


def test_without_jax_triton(monkeypatch, uncached):
    """Asked for by name it raises; by default a program for CUDA is XLA's."""
    find = importlib.util.find_spec
    monkeypatch.setattr(call.importlib.util, "find_spec", lambda name: None if name == "jax_triton" else find(name))
    with pytest.raises(ImportError, match="need jax-triton, which is not installed: pip install"):
        linear_scan(X, X, implementation="triton")
    text = jax.jit(linear_scan).trace(X, X).lower(lowering_platforms=("cuda",)).as_text()
    assert "custom_call" not in text


def test_the_kernels_do_not_run_on_cpu(uncached):
    """In a process of its own: elsewhere the interpreter lets them."""
    import subprocess
    import sys

    program = """
import numpy as np, cssm_kernels
x = np.ones((3, 4), np.float32)
try:
    cssm_kernels.linear_scan(x, x, implementation="triton")
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "implementation is 'triton', but linear_scan is being compiled for cpu" in done.stdout


def test_with_no_gpu_and_none_named(monkeypatch):
    monkeypatch.delenv("CSSM_KERNELS_COMPUTE_CAPABILITY", raising=False)
    with pytest.warns(UserWarning, match="compute capability 80 is assumed"):
        assert call.compute_capability() == 80
    for wrong in ("9.0", "sm_90", "75"):
        monkeypatch.setenv("CSSM_KERNELS_COMPUTE_CAPABILITY", wrong)
        with pytest.raises(ValueError, match=r"COMPUTE_CAPABILITY is '.*'; expected 10 x major"):
            call.compute_capability()
