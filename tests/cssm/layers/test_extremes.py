"""Every layer where its sizes meet their limits."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from cssm import MIXERS

from tests.cssm.checks import KEYS, random_variables, value_and_gradient


@pytest.mark.parametrize("key", KEYS)
def test_one_frame_under_a_kernel_larger_than_it(key, rng):
    """T = 1, K > W > H: a video of the same shape, and gradients that are finite."""
    x = rng.normal(size=(1, 1, 3, 5, 12)).astype(np.float32)
    layer = MIXERS[key](channels=12, kernel_size=7)
    y, gradients = value_and_gradient(layer, random_variables(layer, x), x)
    assert y.shape == x.shape
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((y, gradients)))
