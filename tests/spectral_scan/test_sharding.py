"""spectral_scan on several devices: batches and channels are independent, so that nothing is gathered, and the gradient of
what the devices share is summed over them."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import cssm_kernels
from tests.matrix.test_sharding import mesh
from tests.spectral_scan.cases import Case, call, make_operands, smooth_loss, split_flags

# Mesh, the axis that splits the batch, the one that splits the channels.
SPLITS = [((4,), "d", None), ((4,), None, "d"), ((2, 2), "d", "e"), ((2, 2), ("d", "e"), None)]


def placed(operands, device_mesh, batch, channels):
    """Each operand split where it has a batch, or more than one channel, of its own."""

    def place(name, value):
        batch_dims = {"x": value.ndim - 4, "reset": value.ndim - 1}.get(name, value.ndim - 3)
        spec = [None] * value.ndim
        if batch_dims and value.shape[0] > 1:
            spec[0] = batch
        if name != "reset":
            spec[-1] = channels
        return jax.device_put(value, NamedSharding(device_mesh, P(*spec)))

    return {name: place(name, value) for name, value in operands.items()}


def assert_close(actual, expected):
    jax.tree.map(
        lambda u, v: np.testing.assert_allclose(u, v, 0, 1e-12 * (1 + np.max(np.abs(v)))),
        actual,
        expected,
    )


@pytest.mark.parametrize(
    "case, last_only, splits",
    [
        (Case((8,), 10, (4, 5, 8)), False, SPLITS),
        (Case((8,), 3, (4, 5, 8)), False, SPLITS[:2]),  # so few steps that there are no checkpoints
        (Case((8,), 3, (4, 5, 8), k_batch=(8,), h0=(8,), reset=(8,)), False, SPLITS[:3]),
        (Case((8,), 10, (4, 5, 8), h0=(), reset=()), True, SPLITS[:3]),
        (Case((8, 2), 3, (4, 1, 8), k_batch=(8, 1), h0=(1, 2)), False, SPLITS[2:3]),
        (Case((), 10, (4, 5, 8), k_batch=(8,)), True, SPLITS[:1]),  # no operand, and not y, has the shape of the work
    ],
    ids=str,
)
def test_sharded_jit_gathers_nothing(case, last_only, splits, rng):
    operands, flags = split_flags(make_operands(case, "float64", rng))

    def run(operands, flags):
        def loss(operands):
            outs = call({**operands, **flags}, last_only=last_only)
            return smooth_loss(*outs), outs

        return jax.grad(loss, has_aux=True)(operands)

    expected = jax.jit(run)(operands, flags)
    for shape, batch, channels in splits:
        device_mesh = mesh(*shape)
        here = [placed(tree, device_mesh, batch, channels) for tree in (operands, flags)]
        compiled = jax.jit(run).lower(*here).compile()
        assert "all-gather" not in compiled.as_text()
        actual = compiled(*here)
        assert_close(actual, expected)
        y = actual[1][0]
        spec = P(batch, *[None] * (y.ndim - 2), channels)
        assert y.sharding.is_equivalent_to(NamedSharding(device_mesh, spec), y.ndim)


def test_a_frame_or_time_that_is_sharded_is_still_right(rng):
    """Gathered, as it must be."""
    operands = make_operands(Case((2,), 8, (4, 5, 3)), "float64", rng)
    expected = call(operands)
    for spec in (P(None, "d"), P(None, None, "d")):
        x = jax.device_put(operands["x"], NamedSharding(mesh(4), spec))
        assert_close(jax.jit(call)({**operands, "x": x}), expected)


@pytest.mark.parametrize("replicated", [(), ("k_hat",), ("h0",), ("k_hat", "h0")], ids=str)
def test_shard_map_sums_the_gradient_of_a_replicated_operand(replicated, rng):
    batch = lambda name: () if name in replicated else (8,)
    operands = make_operands(Case((8,), 3, (4, 5, 2), k_batch=batch("k_hat"), h0=batch("h0")), "float64", rng)
    specs = {name: P() if name in replicated else P("d") for name in operands}
    local = lambda o: jax.lax.psum(smooth_loss(*call(o)), "d")
    split = jax.shard_map(local, mesh=mesh(4), in_specs=(specs,), out_specs=P())
    whole = lambda o: sum(
        smooth_loss(*call({name: v if name in replicated else v[i : i + 2] for name, v in o.items()}))
        for i in range(0, 8, 2)
    )
    both = lambda f: lambda o: (jax.grad(f)(o), jax.jvp(jax.grad(f), (o,), (o,))[1])
    assert_close(jax.jit(both(split))(operands), jax.jit(both(whole))(operands))


def test_shard_map_program_exports(rng):
    operands = make_operands(Case((8,), 10, (4, 5, 2)), "float32", rng)
    specs = {"x": P("d"), "k_hat": P()}
    run = jax.jit(jax.shard_map(lambda o: call(o)[0], mesh=mesh(4), in_specs=(specs,), out_specs=P("d")))
    here = placed(operands, mesh(4), "d", None)
    exported = jax.export.export(run, disabled_checks=cssm_kernels.export_checks())(here)
    reloaded = jax.jit(jax.export.deserialize(exported.serialize()).call)
    np.testing.assert_array_equal(reloaded(here), run(operands))
