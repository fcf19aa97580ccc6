"""depthwise_conv: values and gradients against loops over taps, its transformations, and what it refuses."""

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
from cssm_kernels import depthwise_conv
from cssm_kernels.depthwise_conv import rules
from tests.depthwise_conv import truth
from tests.matrix.cases import REAL, random_array
from tests.matrix.test_sharding import mesh
from tests.refusal import check, each_refusal

WIDE = {"bfloat16": "float32", "float16": "float32"}
EPS = {"float32": 2**-24, "float64": 2**-53, "bfloat16": 2**-9, "float16": 2**-12}


def operands(rng, shape, window, dtype="float64"):
    """x, kernel and bias."""
    wide = WIDE.get(dtype, dtype)
    channels = shape[-1]
    return (
        random_array(rng, shape, dtype),
        random_array(rng, (*window, channels), wide),
        random_array(rng, (channels,), wide),
    )


def value_and_gradients(x, kernel, bias, g, **options):
    y, pull_back = jax.vjp(lambda *o: depthwise_conv(*o, **options), x, kernel, bias)
    return y, *pull_back(g)


def assert_all_close(actual, expected):
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, 1e-12, 1e-12), actual, expected)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    batch=st.lists(st.integers(1, 3), max_size=2),
    frame=st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 20), st.integers(1, 35)),
    window=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 9)),
    dtype=st.sampled_from(REAL),
    implementation=st.sampled_from([None, "cpu", "xla"]),
    seed=st.integers(0, 99),
)
def test_any_shape(batch, frame, window, dtype, implementation, seed):
    """Each result within the rounding of its sum's terms."""
    rng = np.random.default_rng(seed)
    given = *operands(rng, (*batch, *frame), window, dtype), random_array(rng, (*batch, *frame), dtype)
    actual = value_and_gradients(*given, implementation=implementation)
    x, kernel, bias, g = (np.asarray(v, np.float64) for v in given)
    expected = truth.convolve(x, kernel, bias), *truth.gradients(x, kernel, g)
    sizes = truth.convolve(*map(np.abs, (x, kernel, bias))), *truth.gradients(*map(np.abs, (x, kernel, g)))
    wide = EPS[WIDE.get(dtype, dtype)]
    for result, value, size in zip(actual, expected, sizes, strict=True):
        result_eps = EPS[str(result.dtype)]
        assert np.all(
            np.abs(np.asarray(result, np.float64) - value) <= 260 * wide * size + 2 * result_eps * np.abs(value)
        )
    assert [str(v.dtype) for v in actual] == [dtype, dtype, WIDE.get(dtype, dtype), WIDE.get(dtype, dtype)]


@pytest.mark.parametrize(("shape", "window"), [((2, 3, 2, 3, 2), (2, 3, 2)), ((4, 2, 1, 3), (3, 1, 1))], ids=str)
def test_second_order_in_both_modes(shape, window, rng):
    """Cubed, its rules are differentiated twice; `before` changes the sizes and the offsets."""
    x, kernel, bias = operands(rng, shape, window)
    before = random_array(rng, (*shape[:-4], window[0] - 1, *shape[-3:]), "float64")
    cubed = lambda x, kernel, bias, before: depthwise_conv(x, kernel, bias, before=before) ** 3
    check_grads(jax.jit(cubed), (x, kernel, bias, before), order=2, modes=("fwd", "rev"))


def test_no_bias_and_each_operand_alone(rng):
    """Tangents and cotangents in one operand, the others constant."""
    x, kernel, bias = operands(rng, (2, 3, 4, 3), (1, 3, 2))
    g = random_array(rng, x.shape, "float64")
    zero = np.zeros_like(bias)
    np.testing.assert_allclose(depthwise_conv(x, kernel), truth.convolve(x, kernel, zero), 1e-12)
    for i, expected in enumerate(truth.gradients(x, kernel, g)):
        of_one = lambda v, i=i: depthwise_conv(*(v if j == i else o for j, o in enumerate((x, kernel, bias))))
        moved = random_array(rng, (x, kernel, bias)[i].shape, "float64")
        assert_all_close(jax.vjp(of_one, (x, kernel, bias)[i])[1](g)[0], expected)
        tangent = jax.jvp(of_one, ((x, kernel, bias)[i],), (moved,))[1]
        np.testing.assert_allclose(np.vdot(tangent, g), np.vdot(moved, expected), 1e-11)
    of_bias = lambda g: jax.vjp(depthwise_conv, x, kernel, bias)[1](g)[2]
    np.testing.assert_array_equal(jax.vjp(of_bias, g)[1](bias)[0], np.broadcast_to(bias, g.shape))


@pytest.mark.parametrize("batched", [b for b in itertools.product([0, None], repeat=3) if b != (None,) * 3], ids=str)
def test_vmap_over_each_subset(batched, rng):
    """Values, gradients of each example, and gradients of the batch, equal those of a loop."""
    x, kernel, bias = operands(rng, (2, 2, 3, 4, 3), (2, 3, 1))
    stacked = [v if at is None else np.stack([v, 2 * v, v - 1]) for v, at in zip((x, kernel, bias), batched)]
    g = random_array(rng, (3, *x.shape), "float64")

    def both(*o):
        each = jax.vmap(value_and_gradients, (*batched, 0))(*o, g)
        pull_back = jax.vjp(jax.vmap(depthwise_conv, batched), *o)[1]
        return each, pull_back(g)

    each, of_batch = jax.jit(both)(*stacked)
    loop = [
        value_and_gradients(*(v if at is None else v[i] for v, at in zip(stacked, batched)), g[i]) for i in range(3)
    ]
    loop = [np.stack(v) for v in zip(*loop)]
    assert_all_close(each, tuple(loop))
    assert_all_close(of_batch, tuple(v.sum(0) if at is None else v for v, at in zip(loop[1:], batched)))


@pytest.mark.parametrize("window", [(1, 3, 2), (3, 1, 1), (2, 2, 3)], ids=str)
def test_definitions_are_what_the_kernels_compute(window, rng):
    """They serve other platforms; batches of each operand, or none."""
    x = random_array(rng, (2, 1, 1, 3, 4, 5, 3), "float64")
    kernel, bias = (random_array(rng, shape, "float64") for shape in ((2, 3, 1, *window, 3), (1, 3, 1, 1, 1, 1, 3)))
    g = random_array(rng, (1, 3, 2, 3, 4, 5, 3), "float64")
    params = {"axis": 3, "offset": tuple(k - 1 for k in window), "implementation": None}
    for primitive, o, more in (
        (rules.convolve, (x, kernel, bias), {"frame": (3, 4, 5)}),
        (rules.convolve, (x, kernel, None), {"frame": (3, 4, 5)}),
        (rules.correlate, (x, g), {"window": window, "summed": (False, True), "with_bias": True}),
    ):
        assert_all_close(primitive(*o, **params, **more), list(primitive.definition(*o, **params, **more)))


def test_a_video_can_be_cut_anywhere(rng):
    x, kernel, bias = operands(rng, (2, 6, 3, 4, 3), (4, 3, 1))
    whole = depthwise_conv(x, kernel, bias)
    before = np.zeros((2, 3, *x.shape[2:]))
    for cut in (slice(0, 1), slice(1, 1), slice(1, 6)):
        y = depthwise_conv(x[:, cut], kernel, bias, before=before)
        np.testing.assert_allclose(y, whole[:, cut], 1e-12, 1e-12)
        before = np.concatenate([before, x[:, cut]], 1)[:, -3:]


@pytest.mark.parametrize("shape", [(0, 2, 3, 4, 2), (2, 0, 3, 4, 2), (2, 0, 4, 2), (1, 2, 3, 0)], ids=str)
@pytest.mark.parametrize("implementation", [None, "xla"])
def test_nothing_to_do(shape, implementation, rng):
    x, kernel, bias = operands(rng, shape, (2, 3, 3), "float32")
    y, dx, dkernel, dbias = value_and_gradients(x, kernel, bias, x, implementation=implementation)
    assert y.shape == dx.shape == shape
    assert not dkernel.any()
    assert not dbias.any()


def test_a_nan_reaches_its_window_alone(rng):
    x, kernel, bias = operands(rng, (2, 4, 9, 21), (2, 3, 3), "float32")
    x[0, 2, 4, 17] = np.nan
    expected = np.zeros(x.shape, bool)
    expected[0:2, 1:4, 3:6, 17] = True
    np.testing.assert_array_equal(np.isnan(depthwise_conv(x, kernel, bias)), expected)


@pytest.mark.parametrize("spec", [("d",), (None, None, None, None, "d")], ids=str)
def test_sharded_jit_gathers_nothing(spec, rng):
    """Along batch and channels; the kernel's gradient is summed over the devices."""
    x, kernel, bias = operands(rng, (4, 3, 4, 3, 8), (2, 3, 3))
    of_channels = P(*spec[-1:]) if len(spec) == 5 else P()
    specs = P(*spec), P(None, None, None, *of_channels), of_channels
    loss = lambda *o: jnp.sum(depthwise_conv(*o) ** 3)
    run = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))
    placed = [jax.device_put(v, NamedSharding(mesh(4), s)) for v, s in zip((x, kernel, bias), specs)]
    compiled = run.lower(*placed).compile()
    assert "all-gather" not in compiled.as_text()
    assert_all_close(compiled(*placed), run(x, kernel, bias))


def test_export(rng):
    o = operands(rng, (2, 3, 4, 3), (1, 3, 3))
    run = jax.jit(jax.value_and_grad(lambda *o: jnp.sum(depthwise_conv(*o) ** 3), (0, 1, 2)))
    exported = jax.export.export(run, disabled_checks=cssm_kernels.export_checks())(*o)
    assert_all_close(jax.export.deserialize(exported.serialize()).call(*o), run(*o))
    assert "@cssm_" not in jax.export.export(run, platforms=["cuda"])(*o).mlir_module()


X = np.ones((2, 3, 4, 5, 2), np.float32)
KERNEL = np.ones((2, 3, 3, 2), np.float32)
GIVEN = {"x": X, "kernel": KERNEL}


@each_refusal(
    [
        (TypeError, "x has dtype int32; expected one of float32", GIVEN | {"x": X.astype(np.int32)}),
        (ValueError, r"x has shape \(5, 2\); expected \(..., T, H, W, C\)", GIVEN | {"x": X[0, 0, 0]}),
        (TypeError, "kernel has dtype float64; expected float32", GIVEN | {"kernel": KERNEL.astype(np.float64)}),
        (ValueError, r"kernel has shape \(3, 3, 2\); expected \(K_t, K_h, K_w, 2\)", GIVEN | {"kernel": KERNEL[0]}),
        (ValueError, r"kernel has shape \(2, 3, 3, 1\); expected", GIVEN | {"kernel": KERNEL[..., :1]}),
        (ValueError, r"kernel has shape \(0, 3, 3, 2\); .* no window of size 0", GIVEN | {"kernel": KERNEL[:0]}),
        (ValueError, r"bias has shape \(3,\); expected \(2,\)", GIVEN | {"bias": np.ones(3, np.float32)}),
        (ValueError, r"before has shape \(2, 2, 4, 5, 2\); expected \(2, 1, 4, 5, 2\)", GIVEN | {"before": X[:, :2]}),
        (ValueError, "implementation is 'cuda'; expected None .* 'cpu'", GIVEN | {"implementation": "cuda"}),
    ]
)
def test_refuses(refused, under_jit):
    check(depthwise_conv, refused, under_jit)
