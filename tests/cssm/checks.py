"""What the tests of this folder share."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from cssm import MIXERS

# One key a class; those that only set other defaults of another run the same code.
KEYS = {cls: key for key, cls in MIXERS.items() if cls.__base__ not in MIXERS.values()}.values()

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


def initial(layer, name, x):
    """The initial value of one parameter, or of those of one submodule; no other is computed."""
    return jax.tree.map(np.asarray, jit(lambda key: layer.init(key, x)["params"][name])(jax.random.key(0)))


def shapes(params):
    """{'path/of/leaf': shape} of a parameter tree."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in leaves}


def check_truth(layer, truth, x, tolerance=1e-12):
    """In float64: layer(x) is truth(params, x), and so is the derivative of sum(sin(y)) in a random direction.

    `truth` is the layer once more in NumPy; its derivative is taken by central differences. Parameters are random, all of
    N(0.2), so that zero and one initial values hide nothing.
    """
    rng = np.random.default_rng(1)
    x = np.asarray(x, np.float64)
    variables = jax.tree.map(lambda leaf: leaf.astype(np.float64), random_variables(layer, x))
    y, slopes = value_and_gradient(layer, variables, x)
    assert y.dtype == np.float64
    assert_close(y, truth(variables["params"], x), tolerance)

    point = (variables, x)
    along = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), point)
    parts = jax.tree.leaves(jax.tree.map(np.vdot, slopes, along))

    def loss(step):
        moved, x = jax.tree.map(lambda leaf, d: leaf + step * d, point, along)
        return np.sin(truth(moved["params"], x)).sum()

    difference = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assert abs(sum(parts) - difference) <= 3e-8 * sum(map(abs, parts))


def check_streaming(layer, x, tolerance=1e-5):
    """All frames but the last two at once, and those one by one, as the full pass; and the last frame alone."""
    variables = random_variables(layer, x)
    whole = np.asarray(apply(layer, variables, x))
    first, state = jit(partial(layer.apply, method="advance"))(variables, x[:, :-2], None)
    step = jit(partial(layer.apply, method="step"))
    state, second = step(variables, state, x[:, -2])
    state, third = step(variables, state, x[:, -1])
    assert_close(np.concatenate([first, second[:, None], third[:, None]], 1), whole, tolerance)
    assert_close(step(variables, None, x[:, 0])[1], whole[:, 0], tolerance)
    assert_close(jit(partial(layer.apply, last_only=True))(variables, x), whole[:, -1:], tolerance)


def check_implementations(layer, x, tolerance=3e-5):
    """The default and the plain XLA form: the same values and gradients."""
    variables = random_variables(layer, x)
    results = [value_and_gradient(one, variables, x) for one in (layer, layer.clone(implementation="xla"))]
    jax.tree.map(partial(assert_close, tolerance=tolerance), *results)
