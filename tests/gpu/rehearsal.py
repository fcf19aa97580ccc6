"""The tests of a GPU without one: `python -m pytest -p tests.gpu.rehearsal tests/gpu`.

It shows that the tests are right apart from the device: here "triton" is the native CPU kernel, "cuda" the twin of the CUDA
kernels on the CPU, and what a program contains is read off the one compiled for an H100. (The kernels themselves are proved
in tests/gpu_offline.) Needs the `gpu-test` extra.
"""

from __future__ import annotations

import collections
import functools
import os

import pytest

# What only a GPU can show, and why.
NOT_HERE = {
    "test_events": "there are no CUDA events",
    "test_an_operation_of_another_platform_is_refused": "the platform is the CPU",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name, reason in NOT_HERE.items():
            if name in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=f"rehearsal: {reason}"))


@pytest.fixture(scope="session", autouse=True)
def rehearsed():
    # Not before conftest.py has said what jax is to be like.
    import jax

    from benchmarks.gpu_report.deviceless import compile_for
    from benchmarks.gpu_report.targets import H100
    from benchmarks.kernel_calls import TRITON
    from cssm_kernels import _native
    from cssm_kernels.delta_scan import rules as delta
    from cssm_kernels.gated_scan import rules as gated
    from cssm_kernels.goom_scan import rules as goom
    from cssm_kernels.linear_scan import rules as linear
    from cssm_kernels.matrix_scan import rules as matrix
    from cssm_kernels.spectral_scan import rules as spectral
    from tests.gpu import device
    from tools.gpu_offline.twin import Twin, built

    twin = Twin(built())
    for name, handler in twin.handlers().items():
        for platform in ("cpu", "CUDA"):
            jax.ffi.register_ffi_target(name, handler, platform=platform)
    for primitive in (spectral.scan, spectral.vjp):
        primitive.register_native("cpu", "cuda", primitive.native["cuda"]["cuda"])
    lanes = [primitive for rules in (gated, matrix, delta, goom) for primitive in (rules.scan, rules.vjp)]
    for primitive in (linear.scan, linear.vjp, *lanes, goom.matrix_scan, goom.matrix_vjp):
        primitive.register_native("cpu", "triton", primitive.native["cpu"]["cpu"])
    linear.tangent.register_native(
        "cpu", "triton", functools.partial(linear.tangent.definition, implementation="triton")
    )

    def calls_of(function, *args):
        leaves, tree = jax.tree.flatten(args)
        shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
        kernels = compile_for(H100, lambda *leaves: function(*jax.tree.unflatten(tree, leaves)), shapes).kernels
        return collections.Counter({k: n for k, n in kernels.items() if k.startswith("cssm_") or k == TRITON})

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CSSM_KERNELS_COMPUTE_CAPABILITY", os.environ.get("CSSM_KERNELS_COMPUTE_CAPABILITY", "90"))
        patch.setattr(_native, "load_cuda", lambda: twin)
        patch.setattr(device, "missing", lambda: None)
        patch.setattr(device, "PLATFORM", "cpu")
        patch.setattr(device, "calls_of", calls_of)
        yield
