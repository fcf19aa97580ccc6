"""Time split over devices: the same values and gradients, and nothing but states on the wire."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from cssm_kernels import linear_scan, time_sharded_linear_scan
from tests.matrix.cases import random_array
from tests.matrix.test_sharding import mesh


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("varying", [True, False], ids=["varying", "constant"])
@pytest.mark.parametrize("with_reset", [False, True], ids=["", "reset"])
@pytest.mark.parametrize("dtype", ["float64", "complex64", "bfloat16"])
def test_equals_the_whole_sequence(reverse, varying, with_reset, dtype, rng):
    x = random_array(rng, (3, 16, 5), dtype)
    a = (random_array(rng, (3, 16, 5) if varying else (5,), "float64") * 0.6).astype(x.dtype)
    h0 = random_array(rng, (3, 5), "float32" if dtype == "bfloat16" else dtype)
    reset = rng.random(16) < 0.15 if with_reset else np.zeros(16, bool)
    time = P(None, "d")

    def local(a, x, h0, reset):
        return time_sharded_linear_scan(a, x, h0, axis_name="d", axis=1, reverse=reverse, reset=reset)

    specs = (time if varying else P(), time, P(), P("d"))
    split = jax.jit(jax.shard_map(local, mesh=mesh(4), in_specs=specs, out_specs=(time, P())))
    whole = lambda *args: linear_scan(*args[:3], axis=1, reverse=reverse, reset=args[3], return_final=True)
    tolerance = {"float64": 1e-12, "complex64": 1e-5, "bfloat16": 2e-2}[dtype]
    wide = lambda tree: jax.tree.map(lambda v: np.asarray(v).astype("complex128"), tree)
    close = lambda u, v: np.testing.assert_allclose(u, v, tolerance, tolerance)
    jax.tree.map(close, wide(split(a, x, h0, reset)), wide(whole(a, x, h0, reset)))

    def loss(f):
        return lambda a, x, h0: sum(jnp.sum(jnp.abs(v.astype(v.dtype)) ** 2).astype(float) for v in f(a, x, h0, reset))

    grads = [jax.jit(jax.grad(loss(f), (0, 1, 2)))(a, x, h0) for f in (split, whole)]
    scale = max(float(np.max(np.abs(g))) for g in wide(grads[1]))
    jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, tolerance, 5 * tolerance * scale), *map(wide, grads))


def test_only_carries_travel(rng):
    x = random_array(rng, (64, 4096), "float32")
    local = lambda a, x: time_sharded_linear_scan(a, x, axis_name="d")[0]
    split = jax.jit(jax.shard_map(local, mesh=mesh(4), in_specs=(P("d"), P("d")), out_specs=P("d")))
    text = split.lower(x, x).compile().as_text()
    sizes = [
        np.prod([int(n) for n in dims.split(",")]) for dims in re.findall(r"f32\[([\d,]+)\]\S* all-gather\(", text)
    ]
    assert sizes, "the carries are gathered"
    assert max(sizes) <= 2 * 4 * 4096
    assert "all-to-all" not in text
    assert "collective-permute" not in text
