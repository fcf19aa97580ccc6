"""dense: values and gradients against NumPy in float64, its transformations, and what it refuses."""

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
from cssm_kernels import dense
from cssm_kernels.dense import cpu, rules
from tests.matrix.cases import random_array
from tests.matrix.test_sharding import mesh
from tests.refusal import check, each_refusal

EPS = {"float32": 2**-24, "float64": 2**-53, "bfloat16": 2**-9, "float16": 2**-12}


def operands(rng, lead, depth, width, dtype="float64"):
    """x, w, bias and minus."""
    shapes = ((*lead, depth), (depth, width), (width,), (*lead, width))
    return tuple(random_array(rng, shape, dtype) for shape in shapes)


def value_and_gradients(x, w, bias, minus, g, **options):
    y, pull_back = jax.vjp(lambda x, w, b, m: dense(x, w, b, minus=m, **options), x, w, bias, minus)
    return y, *pull_back(g)


def truth(x, w, bias, minus, g):
    x, w, bias, minus, g = (np.float64(v) for v in (x, w, bias, minus, g))
    lead = tuple(range(x.ndim - 1))
    return x @ w + bias - minus, g @ w.T, np.tensordot(x, g, (lead, lead)), g.sum(lead), -g


def assert_all_close(actual, expected, tolerance=1e-10):
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(e, np.float64), tolerance, tolerance)


SHAPES = [
    ((1,), 1, 1),
    ((3, 5), 4, 2),
    ((13,), 32, 32),
    ((2, 300), 17, 33),
    ((1031,), 3, 48),
    ((7,), 40, 16),
    ((5,), 2, 129),
]


@pytest.mark.parametrize("lead, depth, width", SHAPES, ids=str)
@pytest.mark.parametrize(
    "dtype, implementation",
    [("float32", "cpu"), ("float64", "cpu"), *((dtype, how) for dtype in EPS for how in (None, "xla"))],
)
def test_matches_float64(lead, depth, width, dtype, implementation, rng):
    if implementation == "cpu" and width > cpu.MOST_CHANNELS:
        implementation = None
    given = operands(rng, lead, depth, width, dtype)
    g = random_array(rng, given[3].shape, dtype)
    actual = value_and_gradients(*given, g, implementation=implementation)
    sums = (depth, width, np.prod(lead), np.prod(lead), 1)
    for a, e, n in zip(actual, truth(*given, g), sums, strict=True):
        assert a.dtype == dtype
        scale = 2 * EPS[dtype] * (4 + n) ** 0.5 * 4
        np.testing.assert_allclose(np.float64(a), e, scale, scale * max(1, np.abs(e).max()))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 600), st.integers(1, 70), st.integers(1, 70), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1)
)
def test_any_shape(rows, depth, width, has_bias, has_minus, seed):
    rng = np.random.default_rng(seed)
    x, w, bias, minus = operands(rng, (rows,), depth, width)
    g = random_array(rng, minus.shape, "float64")
    present = (True, True, has_bias, has_minus)
    kept = [v for v, there in zip((x, w, bias, minus), present) if there]

    def run(*kept):
        values = iter(kept)
        x, w, bias, minus = (next(values) if there else None for there in present)
        return dense(x, w, bias, minus=minus, implementation="cpu")

    y, pull_back = jax.vjp(run, *kept)
    wide = truth(x, w, bias * has_bias, minus * has_minus, g)
    expected = [wide[0], *(e for e, there in zip(wide[1:], present) if there)]
    assert_all_close([y, *pull_back(g)], expected)


def test_each_gradient_alone(rng):
    """The backward kernel does not make what is not wanted."""
    given = operands(rng, (2, 9), 5, 7)
    g = random_array(rng, given[3].shape, "float64")
    for i, expected in enumerate(truth(*given, g)[1:]):
        of_one = lambda v, i=i: value_and_gradients(*(v if j == i else o for j, o in enumerate(given)), g)[0]
        assert_all_close(jax.vjp(of_one, given[i])[1](g)[0], expected)
        moved = random_array(rng, given[i].shape, "float64")
        np.testing.assert_allclose(
            np.vdot(jax.jvp(of_one, (given[i],), (moved,))[1], g), np.vdot(moved, expected), 1e-9
        )


def test_second_order_in_both_modes(rng):
    given = operands(rng, (2, 3), 5, 4)
    cubed = lambda x, w, b, m: dense(x, w, b, minus=m) ** 3
    check_grads(jax.jit(cubed), given, order=2, modes=("fwd", "rev"))


@pytest.mark.parametrize("batched", [b for b in itertools.product([0, None], repeat=4) if b != (None,) * 4], ids=str)
def test_vmap_over_each_subset(batched, rng):
    """Values, gradients of each example, and gradients of the batch, equal those of a loop."""
    given = operands(rng, (2, 3), 5, 4)
    stacked = [v if at is None else np.stack([v, 2 * v, v - 1]) for v, at in zip(given, batched)]
    g = random_array(rng, (3, 2, 3, 4), "float64")

    def both(*o):
        each = jax.vmap(value_and_gradients, (*batched, 0))(*o, g)
        of_all = jax.vmap(lambda x, w, b, m: dense(x, w, b, minus=m), batched)
        return each, jax.vjp(of_all, *o)[1](g)

    each, of_batch = jax.jit(both)(*stacked)
    loop = [truth(*(v if at is None else v[i] for v, at in zip(stacked, batched)), g[i]) for i in range(3)]
    loop = [np.stack(v) for v in zip(*loop)]
    assert_all_close(each, loop)
    assert_all_close(of_batch, [v.sum(0) if at is None else v for v, at in zip(loop[1:], batched)])


@pytest.mark.parametrize("at", [-1, 1])
def test_vmap_over_any_dimension(at, rng):
    """Of x and of the matrix; and twice."""
    x, w = random_array(rng, (4, 5, 5), "float64"), random_array(rng, (5, 5, 5), "float64")
    by_loop = np.stack([np.take(x, i, at) @ np.take(w, i, at) for i in range(5)])
    assert_all_close(jax.vmap(dense, (at, at))(x, w), by_loop)
    twice = jax.vmap(jax.vmap(dense, (None, -1)), (0, None))(x, w)
    assert_all_close(twice, np.einsum("bti,iok->bkto", x, w))


def test_definitions_are_what_the_kernels_compute(rng):
    """They serve other platforms."""
    x, w, bias, minus = operands(rng, (2, 3), 9, 4)
    aligned = x[..., None, :], w.reshape(1, 1, 9, 4), bias.reshape(1, 1, 1, 4), minus[..., None, :]
    params = {"axis": 2, "implementation": None}
    assert_all_close(rules.dense(*aligned, **params), rules.dense.definition(*aligned, **params))
    for wants in itertools.product([True, False], repeat=4):
        if any(wants):
            actual, expected = (
                f(*aligned, aligned[3], wants=wants, **params) for f in (rules.vjp, rules.vjp.definition)
            )
            assert_all_close(list(actual), list(expected))


@pytest.mark.parametrize("lead, depth, width", [((0,), 3, 4), ((2,), 0, 3), ((2,), 3, 0)], ids=str)
@pytest.mark.parametrize("implementation", [None, "xla"])
def test_nothing_to_do(lead, depth, width, implementation, rng):
    given = operands(rng, lead, depth, width, "float32")
    actual = value_and_gradients(*given, given[3], implementation=implementation)
    assert_all_close(actual, truth(*given, given[3]), 1e-6)


def test_a_nan_stays_in_its_row(rng):
    x, w, bias, minus = operands(rng, (2, 29), 21, 19, "float32")
    x[1, 5, 17] = np.nan
    y, dx, dw, dbias, _ = value_and_gradients(x, w, bias, minus, np.ones_like(minus))
    expected = np.zeros(y.shape[:-1], bool)
    expected[1, 5] = True
    np.testing.assert_array_equal(np.isnan(y).any(-1), expected)
    assert np.isfinite(dx).all()
    np.testing.assert_array_equal(np.isnan(dw).any(-1), np.arange(21) == 17)
    assert np.isfinite(dbias).all()


def test_the_same_bits_again(rng):
    """Of sums over more rows than one task takes; right to more digits than float32 sums have."""
    x, w, bias, minus = operands(rng, (70_001,), 32, 32, "float32")
    run = jax.jit(value_and_gradients)
    first, second = run(x, w, bias, minus, minus), run(x, w, bias, minus, minus)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    for actual, expected in zip(first[2:4], truth(x, w, bias, minus, minus)[2:4]):
        np.testing.assert_allclose(actual, expected, 1e-6, 5e-4)  # a float32 sum of them all is off by 5e-3


def test_sharded_jit_gathers_nothing(rng):
    """Along rows; gradients of the matrix and the bias are summed over the devices."""
    given = operands(rng, (8, 3), 5, 4)
    run = jax.jit(jax.value_and_grad(lambda x, w, b, m: jnp.sum(dense(x, w, b, minus=m) ** 2), (0, 1, 2, 3)))
    specs = (P("d"), P(), P(), P("d"))
    placed = [jax.device_put(v, NamedSharding(mesh(4), s)) for v, s in zip(given, specs)]
    compiled = run.lower(*placed).compile()
    assert "all-gather" not in compiled.as_text()
    assert_all_close(compiled(*placed), run(*given))


def test_export(rng):
    o = operands(rng, (2, 3), 4, 5)
    run = jax.jit(jax.value_and_grad(lambda x, w, b, m: jnp.sum(dense(x, w, b, minus=m) ** 3), (0, 1, 2, 3)))
    exported = jax.export.export(run, disabled_checks=cssm_kernels.export_checks())(*o)
    assert_all_close(jax.export.deserialize(exported.serialize()).call(*o), run(*o))
    assert "@cssm_" not in jax.export.export(run, platforms=["cuda"])(*o).mlir_module()


def test_where_the_kernel_runs(rng):
    """Not of many channels, of 16-bit numbers, or of many matrices; named, it says so."""
    text = lambda *o: jax.jit(dense).lower(*o).as_text()
    x, w, *_ = operands(rng, (3,), 8, 8, "float32")
    assert "cssm_dense_forward" in text(x, w)
    wide = np.ones((8, cpu.MOST_CHANNELS + 1), np.float32)
    for o in [(x, wide), (x.astype(jnp.bfloat16), w.astype(jnp.bfloat16))]:
        assert "cssm_dense" not in text(*o)
        with pytest.raises(ValueError, match="does not take these operands"):
            dense(*o, implementation="cpu")
    assert "cssm_dense" not in jax.jit(jax.vmap(dense, (None, 0))).lower(x, np.stack([w, w])).as_text()


X, W, ONES = np.ones((2, 3, 4), np.float32), np.ones((4, 5), np.float32), np.ones(5, np.float32)


@each_refusal(
    [
        (TypeError, "x has dtype int32; expected one of float32", {"x": X.astype(np.int32), "w": W}),
        (ValueError, r"x has shape \(\); expected \(..., C\)", {"x": X[0, 0, 0, None].reshape(()), "w": W}),
        (TypeError, "w has dtype float64; expected float32", {"x": X, "w": W.astype(np.float64)}),
        (ValueError, r"w has shape \(5, 4\); expected \(4, N\)", {"x": X, "w": W.T}),
        (ValueError, r"w has shape \(4,\); expected \(4, N\)", {"x": X, "w": W[:, 0]}),
        (ValueError, r"bias has shape \(4,\); expected \(5,\)", {"x": X, "w": W, "bias": ONES[:4]}),
        (ValueError, r"minus has shape \(2, 3, 4\); expected \(2, 3, 5\)", {"x": X, "w": W, "minus": X}),
        (ValueError, "implementation is 'cuda'; expected None .* 'cpu'", {"x": X, "w": W, "implementation": "cuda"}),
    ]
)
def test_refuses(refused, under_jit):
    check(dense, refused, under_jit)
