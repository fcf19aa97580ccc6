"""projected_filter: every frame by itself, against NumPy in float64."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from cssm_kernels import projected_filter
from tests.matrix.cases import random_array
from tests.refusal import check, each_refusal

EPS = {"float32": 2**-24, "float64": 2**-53, "bfloat16": 2**-9}
SHAPES = [  # x and N
    ((1, 1, 1, 1, 1), 1),
    ((2, 3, 4, 6, 5), 7),
    ((2, 9, 5, 7, 17), 17),
    ((3, 1, 8, 8, 33), 4),
    ((13, 6, 4, 16), 16),
    ((2, 2, 4, 4, 129), 2),  # more channels than the kernel takes
    ((2, 2, 4, 4, 2), 129),
]


def operands(rng, shape, width, dtype="float64"):
    """x, k_hat, w, bias and a cotangent."""
    *_, height, columns, channels = shape
    spectrum = (height, columns // 2 + 1, channels)
    complex_dtype = "complex128" if dtype == "float64" else "complex64"
    arrays = (random_array(rng, s, dtype) for s in (shape, (channels, width), (width,), (*shape[:-1], width)))
    x, w, bias, ct = arrays
    return x, random_array(rng, spectrum, complex_dtype), w, bias, ct


def truth(x, k_hat, w, bias, ct, minus_x):
    """(y, dx, dk_hat, dw, dbias), the second by JAX's convention for complex operands."""
    x, w, bias, ct = (np.float64(v) for v in (x, w, bias, ct))
    k_hat, size = np.complex128(k_hat), x.shape[-3:-1]
    s = np.fft.irfftn(k_hat * np.fft.rfftn(x, axes=(-3, -2)), size, axes=(-3, -2))
    ds = ct @ w.T
    lead = tuple(range(x.ndim - 1))
    back = lambda dy: np.fft.irfftn(np.conj(k_hat) * np.fft.rfftn(dy, axes=(-3, -2)), size, axes=(-3, -2))
    weights = np.full(size[1] // 2 + 1, 2.0)
    weights[0] = 1
    if size[1] % 2 == 0:
        weights[-1] = 1
    products = np.conj(np.fft.rfftn(ds, axes=(-3, -2))) * np.fft.rfftn(x, axes=(-3, -2))
    dk = products.sum(tuple(range(x.ndim - 3))) * weights[:, None] / np.prod(size)
    minus = (x, ct) if minus_x else (0, 0)
    return s @ w + bias - minus[0], back(ds) - minus[1], dk, np.tensordot(s, ct, (lead, lead)), ct.sum(lead)


def values_and_gradients(x, k_hat, w, bias, ct, **options):
    """(y, dx, dk_hat, dw, dbias)"""

    @jax.jit
    def run(*o):
        y, pull_back = jax.vjp(lambda *o: projected_filter(*o, **options), *o)
        return y, *pull_back(jnp.asarray(ct))

    return run(x, k_hat, w, bias)


def hermitian(k_hat, width):
    """As irfft reads it along the height, so that NumPy's inverse and ours are the same."""
    return np.fft.rfftn(np.fft.irfftn(np.complex128(k_hat), (k_hat.shape[0], width), axes=(0, 1)), axes=(0, 1))


@pytest.mark.parametrize("shape, width", SHAPES, ids=str)
@pytest.mark.parametrize(
    "dtype, implementation, minus_x",
    [
        ("float32", "cpu", False),
        ("float32", "cpu", True),
        ("float64", "cpu", False),
        ("float64", "cpu", True),
        ("float32", None, True),
        ("bfloat16", None, False),
        ("float64", "unfused", False),
        ("float64", "xla", True),
    ],
)
def test_matches_float64(shape, width, dtype, implementation, minus_x, rng):
    if minus_x:
        width = shape[-1]
    if implementation == "cpu" and max(shape[-1], width) > 128:
        implementation = None
    x, k_hat, w, bias, ct = operands(rng, shape, width, dtype)
    k_hat = hermitian(k_hat, shape[-2]).astype(k_hat.dtype)
    actual = values_and_gradients(x, k_hat, w, bias, ct, minus_x=minus_x, implementation=implementation)
    expected = truth(x, k_hat, w, bias, ct, minus_x)
    tolerance = 40 * EPS[dtype] * np.sqrt(np.prod(shape))
    for a, e in zip(actual, expected, strict=True):
        a = np.asarray(a).astype(e.dtype)
        np.testing.assert_allclose(a, e, tolerance, tolerance * max(1, np.abs(e).max()))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(*(st.integers(1, n) for n in (3, 9, 11, 12, 40, 40)), st.integers(0, 99))
def test_any_shape(batch, steps, height, columns, channels, width, seed):
    o = operands(np.random.default_rng(seed), (batch, steps, height, columns, channels), width)
    o = (o[0], hermitian(o[1], columns), *o[2:])
    actual = values_and_gradients(*o, implementation="cpu")
    for a, e in zip(actual, truth(*o, minus_x=False), strict=True):
        np.testing.assert_allclose(a, e, 1e-9, 1e-10 * np.abs(e).max())


def test_second_order_in_both_modes(rng):
    x, k_hat, w, bias, _ = operands(rng, (2, 2, 3, 4, 3), 3)
    how = dict(minus_x=True, implementation="cpu")
    of = lambda x, re, im, w, bias: projected_filter(x, jax.lax.complex(re, im), w, bias, **how) ** 2
    check_grads(jax.jit(of), (x, k_hat.real, k_hat.imag, w, bias), order=2, modes=("fwd", "rev"))


@pytest.mark.parametrize("batched", [b for b in itertools.product([0, None], repeat=4) if b != (None,) * 4], ids=str)
def test_vmap_over_each_subset(batched, rng):
    *given_, ct = operands(rng, (2, 3, 4, 5, 3), 3)
    stacked = [v if at is None else np.stack([v, 2 * v]) for v, at in zip(given_, batched)]

    def both(*o):
        y, pull_back = jax.vjp(lambda *o: projected_filter(*o), *o)
        return y, *pull_back(jnp.asarray(ct))

    each = jax.jit(jax.vmap(both, batched))(*stacked)
    loop = [both(*(v if at is None else v[i] for v, at in zip(stacked, batched))) for i in range(2)]
    for a, e in zip(each, zip(*loop), strict=True):
        np.testing.assert_allclose(a, np.stack(e), 1e-10, 1e-10)


def test_without_frames_channels_or_videos():
    for shape in ((2, 0, 4, 4, 3), (0, 2, 4, 4, 3), (2, 2, 4, 4, 0)):
        k_hat = jnp.zeros((4, 3, shape[-1]), jnp.complex64)
        y = projected_filter(jnp.ones(shape), k_hat, jnp.ones((shape[-1], 2)), jnp.ones(2))
        np.testing.assert_array_equal(y, np.ones((*shape[:-1], 2), np.float32))


X, W = np.ones((2, 4, 4, 3), np.float32), np.ones((3, 3), np.float32)
K, BIAS = np.ones((4, 3, 3), np.complex64), np.ones(3, np.float32)


@each_refusal(
    [
        (TypeError, r"x has dtype int32; expected one of float32", {"x": X.astype(np.int32)}),
        (ValueError, r"k_hat has shape \(4, 4, 3\); expected", {"k_hat": np.ones((4, 4, 3), np.complex64)}),
        (TypeError, r"k_hat has dtype float32; expected one of complex64", {"k_hat": K.real}),
        (ValueError, r"w has shape \(2, 3\); expected \(3, N\)", {"w": W[:2]}),
        (ValueError, r"bias has shape \(2,\); expected \(3,\)", {"bias": BIAS[:2]}),
        (ValueError, r"w has shape .* with minus_x", {"w": W[:, :2], "bias": None, "minus_x": True}),
        (TypeError, r"minus_x is 1; expected a bool", {"minus_x": 1}),
        (ValueError, r"implementation is 'sequential'; expected None", {"implementation": "sequential"}),
    ]
)
def test_refuses(refused, under_jit):
    error, message, changes = refused
    arguments = {"x": X, "k_hat": K, "w": W, "bias": BIAS}
    check(projected_filter, (error, message, arguments | changes), under_jit)
