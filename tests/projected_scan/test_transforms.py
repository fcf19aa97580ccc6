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
from tests.refusal import check, each_refusal
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


def each(o, names, f):
    """f of the members of those of `names`, which are all of three."""
    members = [f({n: v[i] if n in names else v for n, v in o.items()}) for i in range(3)]
    return jax.tree.map(lambda *v: np.stack(v), *members)


def loss(y, final):
    return jnp.sum(y**2 * jnp.cos(y)) + jnp.sum(jnp.abs(final) ** 2)


one = jax.jit(jax.value_and_grad(lambda o: loss(*run(o))))
one_of_pair = jax.jit(jax.value_and_grad(lambda o: loss(*pair(o))))
moved_pair = jax.jit(lambda o, tangents: jax.jvp(lambda o: loss(*pair(o)), (o,), (tangents,)))


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
        return loss(*run(o, reverse=reverse, implementation="cpu"))

    check_grads(jax.jit(of), (parts,), order=2, modes=("fwd", "rev"), rtol=1e-4)


@pytest.mark.parametrize("wanted", [names for names in SUBSETS if len(names) in (1, 4, 5)], ids="+".join)
def test_gradients_and_tangents_of_one_of_all_but_one_and_of_all(wanted, rng):
    """What is not asked for is not computed, and what is does not change."""
    o = operands(rng)
    live, rest = {n: o[n] for n in wanted}, {n: o[n] for n in NAMES if n not in wanted}
    of = lambda live: loss(*run({**live, **rest}))
    moved = jax.tree.map(lambda v: v * (0.5 - v), live)
    grads, pushed = jax.jit(lambda live: (jax.grad(of)(live), jax.jvp(of, (live,), (moved,))))(live)
    expected = one_of_pair(o)[1]
    assert_close(grads, {n: expected[n] for n in wanted})
    assert_close(pushed, moved_pair(o, {n: moved[n] if n in moved else np.zeros_like(v) for n, v in o.items()}))


@pytest.mark.parametrize("of", [0, 1], ids=["y", "final"])
def test_one_cotangent_alone(of, rng):
    o = operands(rng, steps=10)
    each = [jax.grad(lambda o, f=f: jnp.sum(jnp.abs(f(o)[of]) ** 2))(o) for f in (run, pair)]
    assert_close(*each)


@pytest.mark.parametrize("batched", SUBSETS, ids="+".join)
def test_vmap_over_each_subset(batched, rng):
    """Values, gradients of each example, and gradients of the batch: those of a loop."""
    o = operands(rng)
    stacked = {n: np.stack([v, 0.5 * v, v * v]) if n in batched else v for n, v in o.items()}
    axes = {n: 0 if n in batched else None for n in o}
    of_one = lambda o: loss(*run(o))
    of_all = jax.grad(lambda o: jnp.sum(jax.vmap(of_one, (axes,))(o)))
    actual, grads = jax.jit(lambda o: (jax.vmap(jax.value_and_grad(of_one), (axes,))(o), of_all(o)))(stacked)
    expected = each(stacked, batched, one)
    assert_close(actual, expected)
    assert_close(grads, {n: v if n in batched else v.sum(0) for n, v in expected[1].items()})


def test_vmap_over_resets_and_nested_vmap(rng):
    o, resets = operands(rng, steps=9), rng.random((3, 9)) < 0.4
    xs = np.stack([o["x"], 2 * o["x"]])
    of = lambda reset, x: jax.grad(lambda o: loss(*run(o, reset=reset)))({**o, "x": x})
    actual = jax.jit(jax.vmap(jax.vmap(of, (None, 0)), (0, None)))(resets, xs)
    single = jax.jit(of)
    for i, j in itertools.product(range(3), range(2)):
        assert_close(jax.tree.map(lambda v: v[i, j], actual), single(resets[i], xs[j]))


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


def test_exports_for_other_platforms_without_custom_calls(rng):
    o = operands(rng, dtype="float32")
    gradient = jax.jit(jax.grad(lambda o: loss(*run(o))))
    assert "@cssm_projected" in gradient.lower(o).as_text()
    assert "@cssm_" not in jax.export.export(gradient, platforms=["tpu"])(o).mlir_module()
    with pytest.raises(ValueError, match="implementation is 'cpu'"):
        jax.export.export(jax.jit(lambda o: run(o, implementation="cpu")), platforms=["tpu"])(o)


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


@pytest.mark.parametrize("own", [("x",), ("x", "k_hat", "h0"), ("k_hat",)], ids="+".join)
def test_sharded_over_videos_gathers_nothing(own, rng):
    """The gradient of what the devices share is summed over them."""
    o = operands(rng, (8,), 5, (4, 5, 8))
    o |= {n: np.stack([o[n] * s for s in np.linspace(0.5, 1, 8)]) for n in own if n != "x"}
    if "x" not in own:
        o["x"] = o["x"][0]
    of = jax.jit(lambda o: (run(o, implementation="cpu"), jax.grad(lambda o: loss(*run(o, implementation="cpu")))(o)))
    devices = mesh(4)
    placed = {n: jax.device_put(v, NamedSharding(devices, P("d") if n in own else P())) for n, v in o.items()}
    compiled = of.lower(placed).compile()
    assert "all-gather" not in compiled.as_text()
    actual = compiled(placed)
    assert_close(actual, of(o))
    y = actual[0][0]
    assert y.sharding.is_equivalent_to(NamedSharding(devices, P("d")), y.ndim)


@pytest.mark.parametrize(
    "name, spec", [("x", (None, "d")), ("x", (None, None, "d")), ("w", ("d",)), ("w", (None, "d"))]
)
def test_what_else_is_sharded_is_still_right(name, spec, rng):
    """Gathered, as it must be."""
    o = operands(rng, (2,), 8, (4, 5, 4))
    of = jax.jit(lambda o: jax.value_and_grad(lambda o: loss(*run(o)))(o))
    placed = jax.device_put(o[name], NamedSharding(mesh(4), P(*spec)))
    assert_close(of({**o, name: placed}), of(o))


def test_shard_map_sums_the_gradients_of_what_is_replicated(rng):
    o = operands(rng, (8,), 3, (4, 5, 2))
    specs = {n: P("d") if n == "x" else P() for n in o}
    local = lambda o: jax.lax.psum(loss(*run(o, implementation="cpu")), "d")
    split = jax.shard_map(local, mesh=mesh(4), in_specs=(specs,), out_specs=P())
    whole = lambda o: sum(loss(*pair({**o, "x": o["x"][i : i + 2]})) for i in range(0, 8, 2))
    assert_close(*(jax.jit(jax.value_and_grad(f))(o) for f in (split, whole)))


def test_nothing_to_do():
    """No steps return the initial state; no videos and no channels, what is left."""
    h0 = jnp.ones((4, 3, 3), jnp.complex64)
    y, final = projected_scan(jnp.ones((2, 0, 4, 4, 3)), h0, jnp.ones((3, 3)), None, h0, return_final=True)
    assert y.shape == (2, 0, 4, 4, 3)
    np.testing.assert_array_equal(final, np.ones((2, 4, 3, 3)))
    of = lambda w, h0: projected_scan(jnp.ones((2, 0, 4, 4, 3)), h0, w, None, h0, return_final=True)[1].real.sum()
    dw, dh0 = jax.grad(of, (0, 1))(jnp.ones((3, 3)), h0)
    np.testing.assert_array_equal(dw, np.zeros((3, 3)))
    np.testing.assert_array_equal(dh0, np.full((4, 3, 3), 2))
    assert projected_scan(jnp.ones((0, 2, 4, 4, 3)), h0, jnp.ones((3, 2))).shape == (0, 2, 4, 4, 2)
    y = projected_scan(jnp.ones((2, 4, 4, 0)), h0[..., :0], jnp.ones((0, 2)), jnp.ones(2))
    np.testing.assert_array_equal(y, np.ones((2, 4, 4, 2)))


X, W = np.ones((2, 4, 4, 3), np.float32), np.ones((3, 3), np.float32)
K, BIAS = np.ones((4, 3, 3), np.complex64), np.ones(3, np.float32)


@each_refusal(
    [
        (TypeError, r"x has dtype int32; expected one of float32", {"x": X.astype(np.int32)}),
        (TypeError, r"x is a str; expected an array", {"x": "frames"}),
        (ValueError, r"x has shape \(4, 4, 3\); expected \(..., T, H, W, C\)", {"x": X[0]}),
        (ValueError, r"x has shape \(2, 0, 4, 3\); expected .* H and W at least 1", {"x": X[:, :0]}),
        (ValueError, r"k_hat has shape \(4, 4, 3\); expected", {"k_hat": np.ones((4, 4, 3), np.complex64)}),
        (TypeError, r"k_hat has dtype complex128; expected complex64", {"k_hat": K.astype(complex)}),
        (TypeError, r"k_hat has dtype float32; expected one of complex64", {"k_hat": K.real}),
        (
            ValueError,
            r"k_hat has the leading dimensions \(3,\), which do not broadcast with those of x, \(2,\)",
            {"x": np.stack([X] * 2), "k_hat": np.stack([K] * 3)},
        ),
        (ValueError, r"w has shape \(2, 3\); expected \(3, N\)", {"w": W[:2]}),
        (ValueError, r"w has shape \(1, 3, 3\); expected \(3, N\)", {"w": W[None]}),
        (ValueError, r"w has shape \(3,\); expected \(3, N\)", {"w": W[0]}),
        (TypeError, r"w has dtype float64; expected float32 \(x's dtype\)", {"w": W.astype(float)}),
        (TypeError, r"w is a NoneType; expected an array", {"w": None}),
        (ValueError, r"bias has shape \(2,\); expected \(3,\)", {"bias": BIAS[:2]}),
        (ValueError, r"bias has shape \(1,\); expected \(3,\)", {"bias": BIAS[:1]}),
        (TypeError, r"bias has dtype float64; expected float32 \(x's dtype\)", {"bias": BIAS.astype(float)}),
        (ValueError, r"h0 has shape \(2, 4, 3, 3\); expected", {"h0": np.stack([K, K])}),
        (TypeError, r"h0 has dtype float32; expected one of complex64", {"h0": K.real}),
        (ValueError, r"reset has shape \(3,\); expected \(2,\)", {"reset": np.ones(3, bool)}),
        (TypeError, r"reset has dtype int32; expected one of bool", {"reset": np.ones(2, np.int32)}),
        (
            ValueError,
            r"w has shape \(3, 2\); expected \(3, 3\) with minus_x",
            {"w": W[:, :2], "bias": None, "minus_x": True},
        ),
        (TypeError, r"minus_x is 1; expected a bool", {"minus_x": 1}),
        (TypeError, r"reverse is None; expected a bool", {"reverse": None}),
        (TypeError, r"return_final is 'yes'; expected a bool", {"return_final": "yes"}),
        (ValueError, r"implementation is 'fused'; expected None .* 'cpu'", {"implementation": "fused"}),
    ]
)
def test_refuses(refused, under_jit):
    error, message, changes = refused
    arguments = {"x": X, "k_hat": K, "w": W, "bias": BIAS}
    check(projected_scan, (error, message, arguments | changes), under_jit)


@pytest.mark.parametrize("dtype, channels, width", [("float32", 129, 2), ("float32", 2, 129), ("bfloat16", 3, 3)])
def test_a_named_kernel_runs_or_raises(dtype, channels, width):
    x, w = jnp.ones((2, 2, 4, 4, channels), dtype), jnp.ones((channels, width), dtype)
    k_hat = jnp.ones((4, 3, channels), jnp.complex64)
    assert projected_scan(x, k_hat, w).shape == (2, 2, 4, 4, width)
    with pytest.raises(ValueError, match="does not take these operands"):
        projected_scan(x, k_hat, w, implementation="cpu")


@pytest.mark.parametrize("wanted", NAMES)
def test_the_named_kernel_gives_each_gradient_alone(wanted, rng):
    """What is not asked for does not keep it from running."""
    o = operands(rng, steps=10)
    of = lambda f, **how: jax.jit(jax.grad(lambda v: loss(*f({**o, wanted: v}, **how))))(o[wanted])
    assert_close(of(run, implementation="cpu"), of(pair))
