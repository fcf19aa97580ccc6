"""`implementation="cuda"` on the CPU: the Python code, handlers and kernels of the GPU, on the twin."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest

from cssm_kernels import _native
from cssm_kernels.spectral_scan import rules
from tools.gpu_offline.twin import Twin, built


@pytest.fixture(scope="package")
def loaded_twin() -> Iterator[Twin]:
    twin = Twin(built())
    for name, handler in twin.handlers().items():
        jax.ffi.register_ffi_target(name, handler, platform="cpu")
    for primitive in (rules.scan, rules.vjp):
        primitive.register_native("cpu", "cuda", primitive.native["cuda"]["cuda"])
    yield twin
    for primitive in (rules.scan, rules.vjp):
        del primitive.native["cpu"]["cuda"]
    jax.clear_caches()


@pytest.fixture(autouse=True)
def twin(loaded_twin: Twin, monkeypatch: pytest.MonkeyPatch) -> Twin:
    monkeypatch.setattr(_native, "load_cuda", lambda: loaded_twin)
    loaded_twin.set_gpu("H100")
    loaded_twin.set_last_thread_first(False)
    return loaded_twin
