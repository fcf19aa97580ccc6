"""Several devices. Without these checks a sharded jit gathers every operand to every device, and a gradient summed over a
sharded batch is silently one device's share of it."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import cssm_kernels
from tests.matrix.cases import Case
from tests.matrix.operations import OPERATIONS, each

each_native = pytest.mark.parametrize(
    "operation, implementation",
    each(OPERATIONS, lambda operation: operation.native),
    ids=lambda value: getattr(value, "name", str(value)),
)
each_primitive = pytest.mark.parametrize(
    "operation, implementation",
    each(OPERATIONS, lambda operation: operation.primitives),
    ids=lambda value: getattr(value, "name", str(value)),
)


def mesh(*shape, names=("d", "e")):
    return jax.make_mesh(shape, names[: len(shape)], axis_types=(jax.sharding.AxisType.Auto,) * len(shape))


def sharded(operation, operands, device_mesh, spec, axis):
    """Each operand's lanes split as `spec` splits the result's, where they are not broadcast; h0 has no time axis."""

    def place(name, value):
        components = operation.components.get(name, 0)
        lanes = value.shape[: value.ndim - components]
        whole = [s for d, s in enumerate(spec) if d != axis or name != "h0"]
        own = [s if n > 1 else None for s, n in zip(whole[len(whole) - len(lanes) :], lanes)]
        return jax.device_put(value, NamedSharding(device_mesh, P(*own, *(None,) * components)))

    return {name: place(name, value) for name, value in operands.items()}


@each_native
@pytest.mark.parametrize("gate", [(8, 16, 4), (1, 1, 4), (8, 1, 1), (1, 16, 1)], ids=str)
@pytest.mark.parametrize("reset", ["", "sequence"])
def test_sharded_jit_gathers_nothing(operation, implementation, gate, reset, rng):
    operands = operation.make(Case((8, 16, 4), 1, gate, reset=reset), "float32", rng)
    flags = {name: operands.pop(name) for name in ("reset",) if name in operands}

    def run(operands, flags):
        def loss(operands):
            h, final = operation.call({**operands, **flags}, axis=1, implementation=implementation)
            return jnp.sum(h**2) + jnp.sum(final), h

        grads, h = jax.grad(loss, has_aux=True)(operands)
        return h, grads

    expected = run(operands, flags)
    for device_mesh, spec in [
        (mesh(4), ("d", None, None)),
        (mesh(4), (None, None, "d")),
        (mesh(2, 2), ("d", None, "e")),
        (mesh(2, 2), (("d", "e"), None, None)),
    ]:
        placed = [sharded(operation, part, device_mesh, spec, 1) for part in (operands, flags)]
        compiled = jax.jit(run).lower(*placed).compile()
        assert "all-gather" not in compiled.as_text()
        actual = compiled(*placed)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 2e-5, 2e-5), actual, expected)
        assert actual[0].sharding.is_equivalent_to(NamedSharding(device_mesh, P(*spec)), actual[0].ndim)


@each_primitive
@pytest.mark.parametrize("replicated", [(), ("gates",), ("h0",), ("gates", "h0")], ids=str)
def test_shard_map_sums_the_gradient_of_a_replicated_operand(operation, implementation, replicated, rng):
    shared = "gates" in replicated
    operands = operation.make(Case((8, 6, 4), 1, (1 if shared else 8, 6, 4)), "float64", rng)
    if "h0" in replicated:
        operands["h0"] = operands["h0"][:1]
    device_mesh = mesh(4)
    specs = {name: P("d") for name in operands} | {name: P() for name in replicated if name == "h0"}
    specs |= {name: P() for name in operation.gates if shared}

    def local(operands):
        h, final = operation.call(operands, axis=1, implementation=implementation)
        return jax.lax.psum(jnp.sum(h**2) + jnp.sum(final**2), "d")

    loss = jax.shard_map(local, mesh=device_mesh, in_specs=(specs,), out_specs=P())
    whole = lambda o: jnp.sum(operation.call(o, axis=1)[0] ** 2) + jnp.sum(operation.call(o, axis=1)[1] ** 2)
    np.testing.assert_allclose(loss(operands), whole(operands), 1e-12)
    for transformed in (jax.grad, lambda f: lambda o: jax.jvp(jax.grad(f), (o,), (o,))[1]):
        actual, expected = (jax.jit(transformed(f))(operands) for f in (loss, whole))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-10), actual, expected)


@each_native
def test_shard_map_program_exports(operation, implementation, rng):
    operands = operation.make(Case((8, 16, 4), 1, (8, 1, 4)), "float32", rng)
    placed = sharded(operation, operands, mesh(4), ("d", None, None), 1)
    local = lambda o: operation.call(o, axis=1, implementation=implementation)[0]
    run = jax.jit(jax.shard_map(local, mesh=mesh(4), in_specs=P("d"), out_specs=P("d")))
    exported = jax.export.export(run, disabled_checks=cssm_kernels.export_checks())(placed)
    actual = jax.jit(jax.export.deserialize(exported.serialize()).call)(placed)
    np.testing.assert_array_equal(actual, run(operands))


@each_native
def test_every_axis_but_time_is_independent(operation, implementation, rng):
    """Each pair of result axes sharded, for each time axis."""
    for axis in range(3):
        shape = tuple(12 if d == axis else 4 for d in range(3))
        operands = operation.make(Case(shape, axis, shape, h0=False), "float32", rng)
        run = jax.jit(lambda o, axis=axis: operation.call(o, axis=axis, implementation=implementation)[0])
        expected = run(operands)
        others = [d for d in range(3) if d != axis]
        for d, e in itertools.permutations(others, 2):
            spec = tuple("d" if k == d else "e" if k == e else None for k in range(3))
            placed = sharded(operation, operands, mesh(2, 2), spec, axis)
            compiled = run.lower(placed).compile()
            assert "all-gather" not in compiled.as_text()
            np.testing.assert_array_equal(compiled(placed), expected)
