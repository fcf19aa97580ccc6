"""The norms against NumPy, at every rank the wrapper meets."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from cssm.nn.activations import activation
from cssm.nn.norms import NORM_TYPES, LayerNorm, normalise

from tests.cssm.checks import apply, assert_close, initialise, random_variables, shapes

SHAPES = {5: (2, 3, 4, 5, 6), 4: (2, 4, 5, 6), 2: (3, 6)}
AXES = {
    "layer": {5: (4,), 4: (3,), 2: (1,)},
    "batch": {5: (0, 1, 2, 3), 4: (0, 1, 2), 2: (0,)},
    "instance": {5: (1, 2, 3), 4: (1, 2), 2: ()},
    "temporal_layer": {5: (1, 4), 4: (3,), 2: (1,)},
    "global_layer": {5: (1, 2, 3, 4), 4: (3,), 2: (1,)},
    "global_instance": {5: (1, 2, 3), 4: (3,), 2: (1,)},
}


class Normalised(nn.Module):
    norm_type: str
    training: bool = True
    act_type: str | None = None

    @nn.compact
    def __call__(self, x):
        return normalise(x, self.norm_type, training=self.training, name="norm", act_type=self.act_type)


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("norm_type", NORM_TYPES)
def test_norm(norm_type, rank, rng):
    x = rng.normal(1, 2, SHAPES[rank]).astype(np.float32)
    module = Normalised(norm_type)
    variables = random_variables(module, x)
    assert shapes(variables["params"]) == {"norm/bias": (6,), "norm/scale": (6,)}
    y, _ = apply(module, variables, x, mutable="batch_stats")
    axes = AXES[norm_type][rank]
    wide = x.astype(float)
    mean, var = wide.mean(axes, keepdims=True), wide.var(axes, keepdims=True)
    norm = variables["params"]["norm"]
    expected = (wide - mean) / np.sqrt(var + (1e-5 if norm_type == "batch" else 1e-6)) * norm["scale"] + norm["bias"]
    assert_close(y, expected, 2e-6)


@pytest.mark.parametrize("param_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16"])
@pytest.mark.parametrize("of", ["float32", "bfloat16", "float64"])
def test_layer_norm_is_that_of_flax(of, dtype, param_dtype, rng):
    """Dtypes, and values to the rounding of the result's."""
    x = jnp.asarray(rng.normal(1, 2, (3, 4, 6)), of)
    dtypes = {"dtype": dtype, "param_dtype": param_dtype}
    variables = random_variables(nn.LayerNorm(**dtypes), x)
    expected = nn.LayerNorm(**dtypes).apply(variables, x)
    y = LayerNorm(**dtypes).apply(variables, x)
    assert y.dtype == expected.dtype
    rounding = 0.01 if y.dtype == jnp.bfloat16 else 3e-6
    np.testing.assert_allclose(np.float64(y), np.float64(expected), rounding, rounding)


@pytest.mark.parametrize("norm_type", ["layer", "batch", "instance"])
@pytest.mark.parametrize("act_type", ["gelu", "softplus", "relu"])
def test_norm_of_an_activation(norm_type, act_type, rng):
    x = rng.normal(1, 2, SHAPES[4]).astype(np.float32)
    variables = random_variables(Normalised(norm_type), x)
    of_both, _ = apply(Normalised(norm_type, act_type=act_type), variables, x, mutable="batch_stats")
    of_norm, _ = apply(Normalised(norm_type), variables, activation(act_type)(x), mutable="batch_stats")
    assert_close(of_both, of_norm, 3e-6)


def test_batch_norm_keeps_running_averages(rng):
    x = rng.normal(1, 2, SHAPES[4]).astype(np.float32)
    variables = initialise(Normalised("batch"), x)
    _, updated = apply(Normalised("batch"), variables, x, mutable="batch_stats")
    stats = updated["batch_stats"]["norm"]
    assert_close(stats["mean"], 0.01 * x.mean((0, 1, 2)))
    assert_close(stats["var"], 0.99 + 0.01 * x.var((0, 1, 2)))
    evaluated = apply(Normalised("batch", training=False), {**variables, **updated}, x)
    assert_close(evaluated, (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5))


def test_activations():
    x = np.linspace(-3, 3, 7, dtype=np.float32)
    tanh_gelu = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    for name, expected in (("softplus", np.log1p(np.exp(x))), ("gelu", tanh_gelu), ("relu", np.maximum(x, 0))):
        assert_close(activation(name)(x), expected, 1e-6)


def test_errors():
    with pytest.raises(ValueError, match="norm_type: got 'group', expected one of layer, batch, instance"):
        random_variables(Normalised("group"), jnp.ones((2, 3)))
    with pytest.raises(ValueError, match="act_type: got 'selu', expected one of softplus, gelu, relu"):
        activation("selu")
