"""projected_scan under JAX's transformations, and what it refuses."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

import cssm_kernels
from cssm_kernels import dense, projected_scan, spectral_scan
from cssm_kernels.projected_scan import rules
from tests.matrix.cases import random_array
from tests.matrix.test_sharding import mesh
from tests.spectral_scan.cases import Case, make_operands

NAMES = ("x", "k_hat", "w", "bias", "h0")
SUBSETS = [names for n in range(1, 6) for names in itertools.combinations(NAMES, n)]


def operands(rng, batch=(2,), steps=3, frame=(3, 4, 3), dtype="float64"):
    o = make_operands(Case(batch, steps, frame, h0=()), dtype, rng)
    channels = frame[-1]
    return o | {"w": random_array(rng, (channels, channels), dtype), "bias": random_array(rng, (channels,), dtype)}


def run(o, **options):
    return projected_scan(o["x"], o["k_hat"], o["w"], o["bias"], o["h0"], minus_x=True, return_final=True, **options)


def pair(o, **options):
    s, final = spectral_scan(o["x"], o["k_hat"], o["h0"], return_final=True, **options)
    return dense(s, o["w"], o["bias"], minus=o["x"]), final


def loss(y, final):
    return jnp.sum(y**2 * jnp.cos(y)) + jnp.sum(jnp.abs(final) ** 2)


def assert_close(actual, expected, tolerance=1e-10):
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, tolerance, tolerance * (1 + np.max(np.abs(e), initial=0))),
        actual,
        expected,
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_second_order_in_both_modes(reverse, rng):
    o = operands(rng, (), 3, (2, 3, 2))
    parts = {name: (v.real, v.imag) if np.iscomplexobj(v) else v for name, v in o.items()}

    def of(parts):
        o = {name: jax.lax.complex(*v) if isinstance(v, tuple) else v for name, v in parts.items()}
        return loss(*run(o, reverse=reverse))

    check_grads(jax.jit(of), (parts,), order=2, modes=("fwd", "rev"), rtol=1e-4)


@pytest.mark.parametrize("wanted", SUBSETS, ids="+".join)
def test_each_subset_of_gradients_and_tangents(wanted, rng):
    """What is not asked for is not computed, and what is does not change."""
    o = operands(rng)
    live, rest = {n: o[n] for n in wanted}, {n: o[n] for n in NAMES if n not in wanted}
    of = lambda f: lambda live: loss(*f({**live, **rest}))
    assert_close(jax.jit(jax.grad(of(run)))(live), jax.jit(jax.grad(of(pair)))(live))
    moved = jax.tree.map(lambda v: v * (0.5 - v), live)
    assert_close(jax.jvp(of(run), (live,), (moved,)), jax.jvp(of(pair), (live,), (moved,)))


@pytest.mark.parametrize("of", [0, 1], ids=["y", "final"])
def test_one_cotangent_alone(of, rng):
    o = operands(rng, steps=10)
    each = [jax.grad(lambda o, f=f: jnp.sum(jnp.abs(f(o)[of]) ** 2))(o) for f in (run, pair)]
    assert_close(*each)


@pytest.mark.parametrize("batched", SUBSETS, ids="+".join)
def test_vmap_over_each_subset(batched, rng):
    """Values, gradients of each example, and gradients of the batch."""
    o = operands(rng)
    stacked = {n: np.stack([v, 0.5 * v, v * v]) if n in batched else v for n, v in o.items()}
    axes = {n: 0 if n in batched else None for n in o}
    each = lambda f: jax.vmap(jax.value_and_grad(lambda o: loss(*f(o))), (axes,))(stacked)
    assert_close(jax.jit(lambda: each(run))(), jax.jit(lambda: each(pair))())
    of_all = lambda f: jax.grad(lambda o: jnp.sum(jax.vmap(lambda o: loss(*f(o)), (axes,))(o)))(stacked)
    assert_close(jax.jit(lambda: of_all(run))(), jax.jit(lambda: of_all(pair))())


def test_transposes_where_it_is_linear(rng):
    o = operands(rng)
    linear = lambda x, bias, h0: run({**o, "x": x, "bias": bias, "h0": h0})
    primals = o["x"], o["bias"], o["h0"]
    cotangents = jax.tree.map(jnp.ones_like, linear(*primals))
    transposed = jax.linear_transpose(linear, *primals)(cotangents)
    assert_close(transposed, jax.vjp(linear, *primals)[1](cotangents))
    with pytest.raises(NotImplementedError, match="not linear"):
        jax.linear_transpose(lambda w: run({**o, "w": w}), o["w"])(cotangents)


def test_remat_and_export(rng):
    o = operands(rng, steps=10, dtype="float32")
    of = jax.jit(jax.value_and_grad(lambda o: loss(*run(o))))
    assert_close(jax.jit(jax.value_and_grad(jax.checkpoint(lambda o: loss(*run(o)))))(o), of(o), 1e-5)
    exported = jax.export.export(of, disabled_checks=cssm_kernels.export_checks())(o)
    reloaded = jax.export.deserialize(exported.serialize())
    jax.tree.map(np.testing.assert_array_equal, reloaded.call(o), of(o))


@pytest.mark.parametrize("minus_x", [False, True])
@pytest.mark.parametrize("filters", [False, True])
def test_definitions_are_what_the_kernels_compute(filters, minus_x, rng):
    """They serve other platforms, saved states included."""
    o = operands(rng, steps=19)
    h0 = None if filters else o["h0"][None, None]
    aligned = (
        o["x"],
        o["k_hat"][None, None],
        o["w"][None, None, None, None],
        o["bias"][None, None, None, None],
        h0,
        None,
    )
    how = {"axis": 1, "reverse": False, "filters": filters, "minus_x": minus_x, "implementation": None}
    for saves in (False, True):
        more = how | {"returns_final": not filters, "saves": saves}
        assert_close(rules.scan(*aligned, **more), rules.scan.definition(*aligned, **more))


def test_sharded_over_videos_gathers_nothing(rng):
    o = operands(rng, (8,), 5, (4, 5, 8))
    devices = mesh(4)
    place = lambda n, v: jax.device_put(v, NamedSharding(devices, P(*(("d",) if n == "x" else ()))))
    placed = {n: place(n, v) for n, v in o.items()}
    of = jax.jit(jax.value_and_grad(lambda o: loss(*run(o))))
    assert "all-gather" not in of.lower(placed).compile().as_text()
    assert_close(of(placed), of(o))


def test_nothing_to_do():
    """No steps return the initial state; no videos and no channels, what is left."""
    h0 = jnp.ones((4, 3, 3), jnp.complex64)
    y, final = projected_scan(jnp.ones((2, 0, 4, 4, 3)), h0, jnp.ones((3, 3)), None, h0, return_final=True)
    assert y.shape == (2, 0, 4, 4, 3)
    np.testing.assert_array_equal(final, np.ones((2, 4, 3, 3)))
    assert projected_scan(jnp.ones((0, 2, 4, 4, 3)), h0, jnp.ones((3, 2))).shape == (0, 2, 4, 4, 2)
    y = projected_scan(jnp.ones((2, 4, 4, 0)), h0[..., :0], jnp.ones((0, 2)), jnp.ones(2))
    np.testing.assert_array_equal(y, np.ones((2, 4, 4, 2)))


REFUSED = [
    ({"x": np.ones((2, 4, 4, 3), np.int32)}, TypeError, "x "),
    ({"x": np.ones((4, 4, 3), np.float32)}, ValueError, "x has shape"),
    ({"k_hat": np.ones((4, 4, 3), np.complex64)}, ValueError, "k_hat has shape"),
    ({"k_hat": np.ones((4, 3, 3), np.complex128)}, TypeError, "k_hat has dtype"),
    ({"w": np.ones((2, 3), np.float32)}, ValueError, r"w has shape \(2, 3\); expected \(3, N\)"),
    ({"w": np.ones((3, 3), np.float64)}, TypeError, "w has dtype"),
    ({"bias": np.ones(2, np.float32)}, ValueError, r"bias has shape \(2,\); expected \(3,\)"),
    ({"h0": np.ones((2, 4, 3, 3), np.complex64)}, ValueError, "h0 has shape"),
    ({"reset": np.ones(3, bool)}, ValueError, "reset has shape"),
    ({"w": np.ones((3, 2), np.float32), "bias": None, "minus_x": True}, ValueError, "with minus_x"),
    ({"minus_x": 1}, TypeError, "minus_x"),
    ({"implementation": "fused"}, ValueError, "implementation"),
]


@pytest.mark.parametrize("change, error, message", REFUSED, ids=[message[:20] for *_, message in REFUSED])
def test_refuses(change, error, message):
    arguments = {
        "x": np.ones((2, 4, 4, 3), np.float32),
        "k_hat": np.ones((4, 3, 3), np.complex64),
        "w": np.ones((3, 3), np.float32),
        "bias": np.ones(3, np.float32),
    }
    with pytest.raises(error, match=message):
        projected_scan(**{**arguments, **change})


def test_a_named_kernel_runs_or_raises():
    x, k_hat, w = (
        jnp.ones((1, 4, 4, 129), jnp.float32),
        jnp.ones((4, 3, 129), jnp.complex64),
        jnp.ones((129, 2), jnp.float32),
    )
    assert projected_scan(x, k_hat, w).shape == (1, 4, 4, 2)
    with pytest.raises(ValueError, match="does not take these operands"):
        projected_scan(x, k_hat, w, implementation="cpu")
