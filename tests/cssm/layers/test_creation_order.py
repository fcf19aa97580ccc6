"""In which order layers make their own arrays: Flax counts random keys in it, so that initial values depend on it."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from cssm import MIXERS

# Where one with random initial values is not the only one; as the specification lists them.
ORDERS = {
    "hgru_bi": ["k_exc", "k_inh"],
    "gdn_int": ["kernel", "rms_scale", "attn_kernel", "attn_gamma"],
    "linear": ["kernel", "decay"],
    "mg_transformer": ["q_conv_kernel", "kernel_k", "kernel_v"],
    "mult_transformer": ["kernel_q", "kernel_k", "kernel_v", "ln_gamma_v", "ln_beta_v"],
    "g_transformer": ["kernel_q", "kernel_k", "kernel_v"],
    "spectral_transformer": ["kernel_q", "kernel_k", "kernel_v", "ln_gamma", "ln_beta"],
    "convs5": ["a_log", "a_imag", "log_Delta"],
    "spatiotemporal_attn": ["pos_embed", "gamma1", "gamma2", "gamma_t"],
}


@pytest.mark.parametrize(("key", "order"), ORDERS.items())
def test_creation_order(key, order):
    made = {}

    def initialise(random_key):
        x = np.ones((1, 1, 2, 2, 4), np.float32)
        made.update(MIXERS[key](channels=4, kernel_size=3).init(random_key, x)["params"])

    jax.eval_shape(initialise, jax.random.key(0))
    assert [name for name, leaf in made.items() if not isinstance(leaf, dict)] == order
