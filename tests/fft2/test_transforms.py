"""The transforms under JAX's own: differentiation to second order, vmap, remat, sharding and export."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

import cssm_kernels
from cssm_kernels import irfft2_cl, rfft2_cl
from tests.fft2 import truth
from tests.matrix.cases import random_array
from tests.matrix.test_sharding import mesh

# Both kinds of last column, one row, one column.
FRAMES = [(4, 6, 2), (5, 3, 1), (1, 2, 3), (3, 1, 2)]

each_frame = pytest.mark.parametrize("frame", FRAMES, ids=str)


def spectrum(frame):
    height, width, channels = frame
    return height, width // 2 + 1, channels


def both(frame, **options):
    """(name, transform, shape and dtype of its operand) of each."""
    forward = lambda x: rfft2_cl(x, **options)
    inverse = lambda x_hat: irfft2_cl(x_hat, frame[1], **options)
    return [(forward, frame, "float64"), (inverse, spectrum(frame), "complex128")]


@each_frame
def test_second_order_in_both_modes(frame, rng):
    """A linear operation has no second derivative of its own; cubed, its rules are differentiated twice."""
    for transform, shape, dtype in both(frame):
        operand = random_array(rng, shape, dtype)
        check_grads(jax.jit(lambda v: transform(v) ** 3), (operand,), order=2, modes=("fwd", "rev"))


@each_frame
def test_transpose_is_that_of_the_matrix(frame, rng):
    """linear_transpose and vjp, against the sums over DFT matrices read the other way."""
    width = frame[1]
    (forward, *of_x), (inverse, *of_x_hat) = both(frame)
    x, x_hat = random_array(rng, *of_x), random_array(rng, *of_x_hat)
    for transform, operand, ct, expected in (
        (forward, x, x_hat, truth.rfft2_transpose(x_hat, width)),
        (inverse, x_hat, x, truth.irfft2_transpose(x)),
    ):
        (transposed,) = jax.linear_transpose(transform, operand)(ct)
        (pulled_back,) = jax.vjp(transform, operand)[1](ct)
        for actual in (transposed, pulled_back):
            assert actual.dtype == operand.dtype
            np.testing.assert_allclose(actual, expected, 1e-12, 1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_gradient_has_the_dtype_of_x(dtype, rng):
    x, ct = random_array(rng, (6, 8, 3), dtype), random_array(rng, (6, 5, 3), "complex64")
    (gradient,) = jax.vjp(rfft2_cl, x)[1](ct)
    assert gradient.dtype == dtype
    expected = truth.rfft2_transpose(ct, 8)
    tolerance = {"bfloat16": 2**-8, "float16": 2**-11, "float32": 1e-6}[dtype] * np.max(np.abs(expected))
    np.testing.assert_allclose(gradient.astype("float64"), expected, 0, tolerance)


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_vmap_at_any_axis(at, rng):
    """Values, gradients and tangents equal those of a loop."""
    for transform, shape, dtype in both((5, 6, 3)):

        def everything(v, ct):
            out, vjp = jax.vjp(lambda v: transform(v) ** 2, v)
            return out, vjp(ct), jax.jvp(transform, (v,), (v,))[1]

        out = jax.eval_shape(transform, jax.ShapeDtypeStruct(shape, dtype))

        stacked = random_array(rng, (4, *shape), dtype)
        cts = random_array(rng, (4, *out.shape), out.dtype)
        out_axes = (at, (at,), at)
        run = jax.jit(jax.vmap(everything, (at, 0), out_axes))
        actual = run(np.moveaxis(stacked, 0, at), cts)
        expected = jax.tree.map(lambda *v: np.stack(v, at), *[everything(v, ct) for v, ct in zip(stacked, cts)])
        jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, 1e-12, 1e-12), actual, expected)


def test_nested_vmap_equals_a_batch(rng):
    for transform, shape, dtype in both((5, 6, 3)):
        stacked = random_array(rng, (2, 3, *shape), dtype)
        np.testing.assert_allclose(jax.vmap(jax.vmap(transform))(stacked), transform(stacked), 1e-14, 1e-14)


def test_remat_and_jit_of_a_gradient(rng):
    for transform, shape, dtype in both((5, 6, 3)):
        operand = random_array(rng, shape, dtype)
        loss = lambda v: jnp.sum(jnp.abs(transform(v)) ** 4)
        expected = jax.grad(loss)(operand)
        for gradient in (jax.grad(jax.checkpoint(loss)), jax.jit(jax.grad(loss))):
            np.testing.assert_allclose(gradient(operand), expected, 1e-12)


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("spec", [("d", None, None, None), (None, None, None, "d"), ("d", None, None, "e")], ids=str)
def test_sharded_jit_gathers_nothing(spec, width, rng):
    """Along batch and channels; a frame of one or two columns has dimensions that could be taken for them."""
    device_mesh = mesh(2, 2) if "e" in spec else mesh(4)
    for transform, shape, dtype in both((6, width, 8)):
        v = random_array(rng, (8, *shape), dtype)
        run = jax.jit(lambda v: (transform(v), jax.grad(lambda v: jnp.sum(jnp.abs(transform(v)) ** 4))(v)))
        placed = jax.device_put(v, NamedSharding(device_mesh, P(*spec)))
        compiled = run.lower(placed).compile()
        assert "all-gather" not in compiled.as_text()
        actual, expected = compiled(placed), run(v)
        jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, 1e-12, 1e-12), actual, expected)
        for out in actual:
            assert out.sharding.is_equivalent_to(NamedSharding(device_mesh, P(*spec)), 4)


def test_a_frame_sharded_by_height_is_still_right(rng):
    """Gathered, as it must be."""
    for transform, shape, dtype in both((8, 6, 3)):
        v = random_array(rng, (2, *shape), dtype)
        placed = jax.device_put(v, NamedSharding(mesh(4), P(None, "d")))
        np.testing.assert_allclose(jax.jit(transform)(placed), transform(v), 1e-12, 1e-12)


def test_shard_map(rng):
    for transform, shape, dtype in both((5, 6, 3)):
        v = random_array(rng, (8, *shape), dtype)
        local = lambda v: jax.lax.psum(jnp.sum(jnp.abs(transform(v)) ** 4), "d")
        split = jax.shard_map(local, mesh=mesh(4), in_specs=P("d"), out_specs=P())
        whole = lambda v: jnp.sum(jnp.abs(transform(v)) ** 4)
        np.testing.assert_allclose(jax.jit(jax.grad(split))(v), jax.grad(whole)(v), 1e-10, 1e-12)


def test_export_and_reload(rng):
    for transform, shape, dtype in both((5, 6, 3)):
        v = random_array(rng, shape, dtype)
        run = jax.jit(jax.value_and_grad(lambda v: jnp.sum(jnp.abs(transform(v)) ** 4)))
        exported = jax.export.export(run, disabled_checks=cssm_kernels.export_checks())(v)
        reloaded = jax.export.deserialize(exported.serialize())
        jax.tree.map(lambda u, v: np.testing.assert_array_equal(u, v), reloaded.call(v), run(v))


def test_exports_for_other_platforms_without_custom_calls(rng):
    for transform, shape, dtype in both((5, 6, 3)):
        v = random_array(rng, shape, dtype)
        gradient = jax.jit(jax.grad(lambda v: jnp.sum(jnp.abs(transform(v)) ** 4)))
        assert "@cssm_" not in jax.export.export(gradient, platforms=["cuda"])(v).mlir_module()
    for transform, shape, dtype in both((5, 6, 3), implementation="cpu"):
        v = random_array(rng, shape, dtype)
        with pytest.raises(ValueError, match="implementation is 'cpu'"):
            jax.export.export(jax.jit(transform), platforms=["cuda"])(v)
