"""Mamba-2's form over devices: no operand has all lanes, and states that are summed lie on several devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from cssm_kernels import gated_scan
from tests.matrix.test_sharding import mesh

# (batch, time, channels, states)
SHAPES = dict(a=(4, 6, 8, 1), b=(4, 6, 1, 8), x=(4, 6, 8, 1), c=(4, 6, 1, 8))


@pytest.mark.parametrize("spec", [("d", None, None, None), (None, None, "d", "e"), ("d", None, None, "e")], ids=str)
def test_sharded_jit_gathers_nothing(spec, rng):
    operands = {name: rng.normal(size=shape) / 2 for name, shape in SHAPES.items()}
    h0 = rng.normal(size=(4, 8, 8))

    def run(operands, h0):
        def loss(operands, h0):
            y, final = gated_scan(**operands, h0=h0, axis=1, state_axis=3, return_final=True)
            return jnp.sum(y**2) + jnp.sum(final), y

        (_, y), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(operands, h0)
        return y, gradients

    device_mesh = mesh(2, 2)

    def place(value, spec):
        own = [s if n > 1 else None for s, n in zip(spec, value.shape)]
        return jax.device_put(value, NamedSharding(device_mesh, P(*own)))

    placed = {name: place(v, spec) for name, v in operands.items()}, place(h0, spec[:1] + spec[2:])
    compiled = jax.jit(run).lower(*placed).compile()
    assert "all-gather" not in compiled.as_text()
    jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, 1e-10, 1e-10), compiled(*placed), run(operands, h0))
