"""conv_ssm, against its formula."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from cssm import MIXERS

from tests.cssm.checks import check_implementations, check_streaming, check_truth, initial, shapes
from tests.cssm.layers import truth as t

C = 3


def conv_ssm(params, x):
    u = t.dense(params["B_proj"], x) * t.depthwise(params["spatial_conv"], x)
    states = t.scan(t.sigmoid(params["A_logit"]), u)
    return t.dense(params["out_proj"], states * t.dense(params["C_proj"], x)) - x


def layer(**fields):
    return MIXERS["conv_ssm"](channels=C, **fields)


def test_values_and_gradients(rng):
    check_truth(layer(kernel_size=5), conv_ssm, rng.normal(size=(2, 4, 3, 6, C)))


def test_streaming(rng):
    check_streaming(layer(), rng.normal(size=(2, 4, 4, 5, C)).astype(np.float32))


def test_implementations(rng):
    check_implementations(layer(), rng.normal(size=(2, 4, 4, 6, C)).astype(np.float32))


def test_parameters():
    x = np.ones((1, 1, 6, 5, C), np.float32)
    projections = {f"{name}/{leaf}": s for name in ("B_proj", "C_proj", "out_proj") for leaf, s in _dense()}
    assert shapes(jax.eval_shape(layer().init, jax.random.key(0), x)["params"]) == {
        "spatial_conv/kernel": (3, 3, 1, C),
        "spatial_conv/bias": (C,),
        "A_logit": (C,),
        **projections,
    }
    assert (initial(layer(), "A_logit", x) == 2).all()


def _dense():
    return ("kernel", (C, C)), ("bias", (C,))


def test_bad_kernel_size():
    with pytest.raises(ValueError, match="kernel_size: got 0, expected a positive integer"):
        jax.eval_shape(layer(kernel_size=0).init, jax.random.key(0), np.ones((1, 2, 4, 4, C), np.float32))
