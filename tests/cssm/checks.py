"""What the tests of this folder share."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

# These tests compile much and compute little: unoptimised code halves their time.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@partial(jit, static_argnums=0, static_argnames=("training", "return_features", "return_spatial", "mutable"))
def apply(module, variables, *args, **kwargs):
    """module.apply, compiled once for all tests that call it with an equal module and equal shapes."""
    return module.apply(variables, *args, **kwargs)


@partial(jit, static_argnums=0)
def initialise(module, *args):
    """module.init from a fixed key."""
    return module.init(jax.random.key(0), *args)


@partial(jit, static_argnums=0)
def value_and_gradient(module, variables, x):
    """y = module(x), and the gradient of sum(sin(y)) in the variables and in x."""
    y, pullback = jax.vjp(module.apply, variables, x)
    return y, pullback(jnp.cos(y))


def random_variables(module, *args, seed=0, scale=0.2, **kwargs):
    """Variables of the shapes `module.init` gives, all N(scale): zero and one initial values would hide mistakes."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(partial(module.init, **kwargs), jax.random.key(0), *args)
    return jax.tree.map(lambda leaf: rng.normal(0, scale, leaf.shape).astype(np.float32), shapes)


def assert_close(actual, expected, tolerance=1e-5):
    """Within `tolerance` of the largest expected magnitude."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    scale = max(np.abs(expected).max(initial=0), 1e-30)
    assert np.abs(actual - expected).max(initial=0) <= tolerance * scale


def shapes(params):
    """{'path/of/leaf': shape} of a parameter tree."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in leaves}
