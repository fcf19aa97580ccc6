"""coupled_scan on CUDA has no kernels of its own: which of matrix_scan's and gated_scan's it reaches, and what comes out."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.matrix.cases import Case
from tests.matrix.operations import COUPLED_SCAN
from tools.gpu_offline import triton_bridge


@pytest.mark.parametrize(("k", "reached"), [(1, "gated_scan"), (2, "matrix_scan")])
def test_gradients_reach_the_kernels(one_capability, k, reached, rng):
    case = Case((2, 5, 3), 1, (2, 5, 1), lanes=(("K", (3,)),), reset="step", sizes=(k,))
    operands = COUPLED_SCAN.make(case, "float32", rng)
    reset = operands.pop("reset")

    def gradients(operands, implementation):
        run = lambda o: COUPLED_SCAN.call({**o, "reset": reset}, axis=1, implementation=implementation)
        return jax.grad(lambda o: sum(jnp.sum(jnp.abs(out) ** 2) for out in run(o)))(operands)

    by_kernels = jax.jit(lambda o: gradients(o, "triton"))
    launched = [name for name, _ in triton_bridge.launches_of(by_kernels, operands)]
    assert {name.rpartition("_")[0] for name in launched} == {reached}
    assert f"{reached}_vjp" in launched
    expected = gradients(operands, "cpu")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-4), by_kernels(operands), expected)
