"""PointwiseConv: Flax's convolution of one tap, whether it sums few channels or multiplies matrices."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cssm.nn.pointwise import PointwiseConv

from tests.cssm.checks import random_variables


@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_values_and_gradients(channels, rng):
    x = rng.normal(size=(2, 3, 4, channels))
    ours, theirs = PointwiseConv(6, param_dtype=jnp.float64), nn.Conv(6, (1, 1), param_dtype=jnp.float64)
    variables = random_variables(ours, x)
    loss = lambda module: jax.value_and_grad(lambda v, x: (module.apply(v, x) ** 3).sum(), (0, 1))
    actual, expected = (loss(module)(variables, x) for module in (ours, theirs))
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, 1e-11, 1e-11), actual, expected)


@pytest.mark.parametrize("channels", [3, 5])
def test_second_order_and_vmap(channels, rng):
    x = rng.normal(size=(2, 3, channels))
    ours, theirs = PointwiseConv(4, param_dtype=jnp.float64), nn.Conv(4, (1, 1), param_dtype=jnp.float64)
    variables = random_variables(ours, x)
    of_both = lambda module: jax.hessian(lambda v, x: (module.apply(v, x) ** 3).sum(), (0, 1))(variables, x)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, 1e-11, 1e-11), of_both(ours), of_both(theirs))
    each = jax.vmap(ours.apply, (None, 1), 1)(variables, x)
    np.testing.assert_allclose(each, ours.apply(variables, x), 1e-12)
