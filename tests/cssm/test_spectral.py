"""Kernel embedding and squash, against NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cssm.nn.kernels import embed_kernel, spectral_squash, spectral_transition

from tests.cssm.checks import assert_close, jit
from tests.cssm.numpy_layers import embed, kappa


@pytest.mark.parametrize("size", [1, 3, 4, 8, 11])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 9), (5, 12)])
def test_embedding(size, height, width, rng):
    kernel = rng.normal(size=(2, size, size)).astype(np.float32)
    embedded = jit(embed_kernel, static_argnums=(1, 2))(kernel, height, width)
    np.testing.assert_array_equal(embedded, embed(kernel, height, width))


@pytest.mark.parametrize(("size", "length", "position"), [(11, 32, 15), (1, 32, 15), (4, 9, 3), (7, 4, 2), (8, 5, 2)])
def test_where_the_centre_tap_lies(size, length, position):
    kernel = np.zeros((1, size, size), np.float32)
    kernel[0, (size - 1) // 2, (size - 1) // 2] = 1
    image = np.asarray(embed_kernel(jnp.asarray(kernel), length, length))[0]
    assert np.argwhere(image).tolist() == [[position, position]]
    centred = np.asarray(embed_kernel(jnp.asarray(kernel), length, length, origin_centred=True))[0]
    assert np.argwhere(centred).tolist() == [[0, 0]]


def test_squash():
    assert np.isclose(spectral_squash(jnp.complex64(1), 0.999), 0.4995)
    z = jnp.asarray([0, 3 + 4j, -1e30j, 1e-20], jnp.complex64)
    squashed = np.asarray(spectral_squash(z, 0.9))
    assert_close(squashed, [0, 0.9 * (3 + 4j) / 6, -0.9j, 0.9e-20])
    assert (np.abs(squashed) <= 0.9).all()
    gradient = jax.grad(lambda z: jnp.real(spectral_squash(z, 0.999)))(jnp.complex64(0))
    assert np.isclose(gradient, 0.999)


def test_transition(rng):
    kernel = rng.normal(size=(3, 5, 5)).astype(np.float32)
    assert_close(spectral_transition(jnp.asarray(kernel), 8, 7, 0.9), kappa(embed(kernel.astype(float), 8, 7), 0.9))


@pytest.mark.parametrize(
    ("shape", "size", "match"),
    [
        ((3, 4, 5), (8, 8), r"kernel: got shape \(3, 4, 5\), expected \(C, K, K\)"),
        ((4, 4), (8, 8), r"kernel: got shape \(4, 4\)"),
        ((3, 4, 4), (0, 8), "height, width: got 0, 8"),
    ],
)
def test_embedding_errors(shape, size, match):
    with pytest.raises(ValueError, match=match):
        embed_kernel(jnp.ones(shape), *size)
