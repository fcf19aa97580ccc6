"""layer_norm: values and gradients against the formulas in float64, its transformations, and what it refuses."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

import cssm_kernels
from cssm_kernels import layer_norm
from cssm_kernels.layer_norm import rules
from tests.layer_norm import truth
from tests.matrix.cases import REAL, random_array
from tests.matrix.test_sharding import mesh
from tests.refusal import check, each_refusal

WIDE = {"bfloat16": "float32", "float16": "float32"}
EPS = {"float32": 2**-24, "float64": 2**-53, "bfloat16": 2**-9, "float16": 2**-12}
ACTIVATIONS = list(truth.ACTIVATIONS)


def operands(rng, shape, dtype="float64"):
    """x, scale and bias."""
    wide = WIDE.get(dtype, dtype)
    return random_array(rng, shape, dtype), *(random_array(rng, shape[-1:], wide) for _ in range(2))


def value_and_gradients(x, scale, bias, g, **options):
    y, pull_back = jax.vjp(lambda *o: layer_norm(*o, **options), x, scale, bias)
    return y, *pull_back(g)


def assert_all_close(actual, expected):
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, 1e-10, 1e-11), actual, expected)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    lead=st.lists(st.integers(1, 7), max_size=3),
    channels=st.integers(2, 70),
    dtype=st.sampled_from(REAL),
    activation=st.sampled_from(ACTIVATIONS),
    eps=st.sampled_from([1e-6, 1e-2]),
    implementation=st.sampled_from([None, "cpu", "xla"]),
    seed=st.integers(0, 99),
)
def test_any_shape(lead, channels, dtype, activation, eps, implementation, seed):
    """Within a few hundred roundings of the largest value, for a variance of about one."""
    rng = np.random.default_rng(seed)
    x, scale, bias = operands(rng, (*lead, channels), dtype)
    x, g = x + x.dtype.type(1), random_array(rng, x.shape, dtype)  # relu leaves some of any two channels
    actual = value_and_gradients(x, scale, bias, g, eps=eps, activation=activation, implementation=implementation)
    x, scale, bias, g = (np.asarray(v, np.float64) for v in (x, scale, bias, g))
    expected = truth.normalise(x, scale, bias, eps, activation), *truth.gradients(x, scale, g, eps, activation)
    z = truth.ACTIVATIONS[activation](x)[0]
    # Where a row's values are close together, their differences and what is divided by their spread are less sure.
    worst = float(np.max((1 + np.abs(z).max(-1) ** 2) / (z.var(-1) + eps)))
    for result, value in zip(actual, expected, strict=True):
        allowed = 50 * EPS[WIDE.get(dtype, dtype)] * worst**1.5 + 2 * EPS[str(result.dtype)]
        error = np.abs(np.asarray(result, np.float64) - value).max()
        assert error <= allowed * max(1, np.abs(value).max())
    assert [str(v.dtype) for v in actual] == [dtype, dtype, WIDE.get(dtype, dtype), WIDE.get(dtype, dtype)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("channels", [1, 3, 8, 16, 17, 64, 131])
def test_rows_and_lanes(activation, channels, rng):
    """Rows around the four worked on at once and the 128 summed at once; one channel is its bias."""
    for rows in (1, 3, 4, 5, 129, 131):
        x, scale, bias = operands(rng, (rows, channels))
        g = random_array(rng, x.shape, "float64")
        actual = value_and_gradients(x, scale, bias, g, activation=activation, implementation="cpu")
        expected = truth.normalise(x, scale, bias, 1e-6, activation)
        assert_all_close(actual, (expected, *truth.gradients(x, scale, g, 1e-6, activation)))


@pytest.mark.parametrize("activation", ["gelu", "softplus"])
def test_activations_far_from_zero(activation):
    """Of values of which softplus is e^x, and gelu nothing or x, in one row each."""
    x = np.array([[-20.0, -18, -19, -16], [-90, -100, -95, 90], [80, 60, 100, 70]], np.float32)
    y = layer_norm(x, eps=1e-30, activation=activation, implementation="cpu")
    wide = truth.normalise(np.float64(x), np.ones(4), np.zeros(4), 1e-30, activation)
    np.testing.assert_allclose(y[1:], wide[1:], 1e-5, 1e-6)
    if activation == "softplus":
        np.testing.assert_allclose(y[0], wide[0], 1e-5, 1e-6)
    assert np.isfinite(jax.grad(lambda x: layer_norm(x, activation=activation).sum())(x)).all()


@pytest.mark.parametrize("activation", ["gelu", "softplus", None])
def test_second_order_in_both_modes(activation, rng):
    given = operands(rng, (2, 3, 5))
    cubed = lambda *o: layer_norm(*o, eps=0.1, activation=activation) ** 3
    check_grads(jax.jit(cubed), given, order=2, modes=("fwd", "rev"))


def test_each_operand_alone(rng):
    """Tangents and cotangents in one operand, the others constant or absent."""
    x, scale, bias = operands(rng, (3, 7))
    g = random_array(rng, x.shape, "float64")
    for i, expected in enumerate(truth.gradients(x, scale, g, 1e-6, "gelu")):
        given = (x, scale, bias)
        of_one = lambda v, i=i: layer_norm(*(v if j == i else o for j, o in enumerate(given)), activation="gelu")
        moved = random_array(rng, given[i].shape, "float64")
        assert_all_close(jax.vjp(of_one, given[i])[1](g)[0], expected)
        np.testing.assert_allclose(
            np.vdot(jax.jvp(of_one, (given[i],), (moved,))[1], g), np.vdot(moved, expected), 1e-9
        )
    np.testing.assert_allclose(layer_norm(x), truth.normalise(x, 1, 0, 1e-6, None), 1e-11, 1e-12)
    np.testing.assert_allclose(layer_norm(x, None, bias), truth.normalise(x, 1, bias, 1e-6, None), 1e-11, 1e-12)
    of_scale = lambda scale: layer_norm(x, scale, bias)
    linear = jax.linear_transpose(lambda scale: layer_norm(x, scale), scale)
    assert_all_close(linear(g)[0], jax.vjp(of_scale, scale)[1](g)[0])


@pytest.mark.parametrize("batched", [b for b in itertools.product([0, None], repeat=3) if b != (None,) * 3], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_vmap_over_each_subset(batched, dtype, rng):
    """Values, gradients of each example, and gradients of the batch, equal those of a loop."""
    given = operands(rng, (2, 3, 5), dtype)
    stacked = [v if at is None else np.stack([v, 2 * v, v - 1]) for v, at in zip(given, batched)]
    g = random_array(rng, (3, 2, 3, 5), dtype)
    run = lambda *o: value_and_gradients(*o, activation="gelu", implementation="cpu")

    def both(*o):
        each = jax.vmap(run, (*batched, 0))(*o, g)
        norm = lambda *o: layer_norm(*o, activation="gelu", implementation="cpu")
        return each, jax.vjp(jax.vmap(norm, batched), *o)[1](g)

    each, of_batch = jax.jit(both)(*stacked)
    loop = [run(*(v if at is None else v[i] for v, at in zip(stacked, batched)), g[i]) for i in range(3)]
    loop = [np.stack([np.asarray(u, np.float64) for u in v]) for v in zip(*loop)]
    of_loop = [v.sum(0) if at is None else v for v, at in zip(loop[1:], batched)]
    tolerance = 1e-10 if dtype == "float64" else 0.05
    for actual, expected in zip([*each, *of_batch], [*loop, *of_loop]):
        np.testing.assert_allclose(np.asarray(actual, np.float64), expected, tolerance, tolerance)


@pytest.mark.parametrize("at", [-1, 1])
def test_vmap_over_any_dimension(at, rng):
    """The batch of x anywhere, that of a matrix before it behind the channels, and one in another."""
    x = random_array(rng, (4, 6, 5), "float64")
    _, scale, bias = operands(rng, (1, 6))
    norm = lambda x: layer_norm(x, scale[: x.shape[-1]], bias[: x.shape[-1]], activation="gelu")
    moved = np.moveaxis(x, at, 0)
    assert_all_close(jax.vmap(norm, at)(x), np.stack([norm(one) for one in moved]))
    twice = jax.vmap(jax.vmap(norm, -1), -1)(x)
    assert_all_close(twice, np.stack([[norm(x[:, j, i]) for j in range(6)] for i in range(5)]))
    w = random_array(rng, (5, 3, 7), "float64")
    product = lambda w: jnp.sum(layer_norm(x @ w) ** 3)
    each = jax.vmap(jax.value_and_grad(product), -1)(w)
    assert_all_close(each, tuple(np.stack(v) for v in zip(*(jax.value_and_grad(product)(w[..., i]) for i in range(7)))))


def test_definitions_are_what_the_kernels_compute(rng):
    """They serve other platforms."""
    x, scale, bias = operands(rng, (2, 3, 9))
    aligned = x, scale.reshape(1, 1, 9), bias.reshape(1, 1, 9)
    params = {"axis": 2, "eps": 1e-3, "activation": "softplus", "implementation": None}
    assert_all_close(rules.normalise(*aligned, **params), rules.normalise.definition(*aligned, **params))
    for wants in itertools.product([True, False], repeat=3):
        if any(wants):
            actual, expected = (f(*aligned, x, wants=wants, **params) for f in (rules.vjp, rules.vjp.definition))
            assert_all_close(list(actual), list(expected))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 4), (0,)], ids=str)
@pytest.mark.parametrize("implementation", [None, "xla"])
def test_nothing_to_do(shape, implementation, rng):
    x, scale, bias = operands(rng, shape, "float32")
    y, dx, dscale, dbias = value_and_gradients(x, scale, bias, x, implementation=implementation)
    assert y.shape == dx.shape == shape
    assert not dscale.any()
    assert not dbias.any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("channels", [21, 32])
def test_a_nan_stays_in_its_row(activation, channels, rng):
    x, scale, bias = operands(rng, (2, 9, channels), "float32")
    x[1, 5, 17] = np.nan
    y, dx, *_ = value_and_gradients(x, scale, bias, np.ones_like(x), activation=activation)
    expected = np.zeros(x.shape, bool)
    expected[1, 5] = True
    np.testing.assert_array_equal(np.isnan(y), expected)
    np.testing.assert_array_equal(np.isnan(dx).any(-1), expected.any(-1))


def test_the_same_bits_again(rng):
    """Of sums over more rows than one task takes."""
    x, scale, bias = operands(rng, (40_000, 32), "float32")
    run = jax.jit(lambda *o: value_and_gradients(*o, x, activation="gelu"))
    first, second = run(x, scale, bias), run(x, scale, bias)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    wide = truth.gradients(*(np.float64(v) for v in (x, scale, x)), 1e-6, "gelu")
    np.testing.assert_allclose(first[2], wide[1], 1e-4, 1e-4 * np.abs(wide[1]).max())


def test_sharded_jit_gathers_nothing(rng):
    """Along rows; gradients of scale and bias are summed over the devices."""
    given = operands(rng, (8, 3, 5))
    run = jax.jit(jax.value_and_grad(lambda *o: jnp.sum(layer_norm(*o, activation="gelu") ** 3), (0, 1, 2)))
    placed = [jax.device_put(v, NamedSharding(mesh(4), s)) for v, s in zip(given, (P("d"), P(), P()))]
    compiled = run.lower(*placed).compile()
    assert "all-gather" not in compiled.as_text()
    assert_all_close(compiled(*placed), run(*given))


def test_export(rng):
    o = operands(rng, (2, 3, 4))
    run = jax.jit(jax.value_and_grad(lambda *o: jnp.sum(layer_norm(*o) ** 3), (0, 1, 2)))
    exported = jax.export.export(run, disabled_checks=cssm_kernels.export_checks())(*o)
    assert_all_close(jax.export.deserialize(exported.serialize()).call(*o), run(*o))
    assert "@cssm_" not in jax.export.export(run, platforms=["cuda"])(*o).mlir_module()


X = np.ones((2, 3, 4), np.float32)
ONES = np.ones(4, np.float32)


@each_refusal(
    [
        (TypeError, "x has dtype int32; expected one of float32", {"x": X.astype(np.int32)}),
        (ValueError, r"x has shape \(\); expected \(..., C\)", {"x": X[0, 0, 0, None].reshape(())}),
        (TypeError, "scale has dtype float64; expected float32", {"x": X, "scale": ONES.astype(np.float64)}),
        (ValueError, r"scale has shape \(3,\); expected \(4,\)", {"x": X, "scale": ONES[:3]}),
        (ValueError, r"bias has shape \(1, 4\); expected \(4,\)", {"x": X, "bias": ONES[None]}),
        (ValueError, "activation is 'silu'; expected one of None, 'gelu'", {"x": X, "activation": "silu"}),
        (ValueError, "eps is 0.0; expected a positive number", {"x": X, "eps": 0.0}),
        (ValueError, "implementation is 'cuda'; expected None .* 'cpu'", {"x": X, "implementation": "cuda"}),
    ]
)
def test_refuses(refused, under_jit):
    check(layer_norm, refused, under_jit)
