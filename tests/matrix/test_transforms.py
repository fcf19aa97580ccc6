"""Differentiation of any order, vmap over every subset of operands, jit, remat, export, and compile time."""

from __future__ import annotations

import itertools
import re
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import cssm_kernels
from tests.matrix.cases import EXACT, Case, make_operands, random_array
from tests.matrix.operations import LINEAR_SCAN, OPERATIONS

each_native = pytest.mark.parametrize(
    "operation, implementation",
    [(operation, name) for operation in OPERATIONS for name in operation.native if name is not None],
    ids=lambda value: getattr(value, "name", value),
)
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
SMALL = [
    Case((5, 3), 0, (5, 3)),
    Case((3, 5, 9), 1, (3, 1, 9)),
    Case((4, 6), 1, (1, 6)),
    Case((5, 3), 0, (), reset="step"),
]


@each_native
@directions
@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_second_order_in_both_modes(operation, implementation, reverse, dtype, case, rng):
    operands = make_operands(case, operation.gates, dtype, rng)
    flags = {name: operands.pop(name) for name in ("reset",) if name in operands}

    def f(operands):
        return operation.call({**operands, **flags}, axis=case.axis, reverse=reverse, implementation=implementation)

    check_grads(f, (operands,), order=2, modes=("fwd", "rev"))


@each_native
def test_third_order(operation, implementation, rng):
    operands = make_operands(Case((4, 2), 0, (4, 2)), operation.gates, "float64", rng)
    check_grads(lambda o: operation.call(o, implementation=implementation), (operands,), order=3, modes=("fwd", "rev"))


@each_native
@directions
@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("reset", ["", "step"])
def test_vmap_over_each_subset_of_operands(operation, implementation, reverse, dtype, reset, rng):
    """Values, gradients and second derivatives under vmap equal those of a loop, whatever is batched and wherever."""
    case = Case((5, 4), 0, (1, 4), reset=reset)
    base = make_operands(case, operation.gates, dtype, rng)
    flags = {name: base.pop(name) for name in ("reset",) if name in base}
    names = sorted(base)
    weight = random_array(rng, case.shape, dtype)

    def loss(operands):
        h, final = operation.call({**operands, **flags}, reverse=reverse, implementation=implementation)
        return jnp.sum(jnp.abs(h) ** 2 * jnp.abs(weight)) + jnp.sum(jnp.abs(final) ** 2)

    def everything(operands):
        grad = jax.grad(loss)
        value = operation.call({**operands, **flags}, reverse=reverse, implementation=implementation)
        _, hvp = jax.jvp(grad, (operands,), (operands,))
        return value, grad(operands), hvp

    for count in range(1, len(names) + 1):
        for batched in itertools.combinations(names, count):
            for at in (0, 1):
                axes = {name: min(at, base[name].ndim) if name in batched else None for name in names}
                stacked = {
                    name: np.stack([base[name] * s for s in (1.0, 0.5, -0.7)], axes[name])
                    if name in batched
                    else base[name]
                    for name in names
                }
                actual = jax.jit(jax.vmap(everything, (axes,)))(stacked)
                for i, s in enumerate((1.0, 0.5, -0.7)):
                    single = {name: base[name] * s if name in batched else base[name] for name in names}
                    expected = everything(single)
                    jax.tree.map(lambda x, y, i=i: np.testing.assert_allclose(x[i], y, 1e-9, 1e-9), actual, expected)


@each_native
def test_vmap_over_reset_and_nested_vmap(operation, implementation, rng):
    operands = make_operands(Case((6, 3), 0, (6, 3), h0=False), operation.gates, "float64", rng)
    resets = rng.random((4, 6, 1)) < 0.4
    run = lambda reset, x: operation.call({**operands, "x": x, "reset": reset}, implementation=implementation)[0]
    xs = np.stack([operands["x"], 2 * operands["x"]])
    actual = jax.vmap(jax.vmap(run, (None, 0)), (0, None))(resets, xs)
    for i, j in itertools.product(range(4), range(2)):
        np.testing.assert_allclose(actual[i, j], run(resets[i], xs[j]), 1e-12)


@each_native
@directions
def test_linear_transpose_remat_and_hessian(operation, implementation, reverse, rng):
    operands = make_operands(Case((5, 3), 0, (5, 3)), operation.gates, "float64", rng)
    x, h0 = operands["x"], operands["h0"]
    run = lambda x, h0: operation.call({**operands, "x": x, "h0": h0}, reverse=reverse, implementation=implementation)
    ct = tuple(random_array(rng, out.shape, "float64") for out in run(x, h0))
    transposed = jax.linear_transpose(run, x, h0)(ct)
    jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, 1e-12), transposed, jax.vjp(run, x, h0)[1](ct))
    loss = lambda x: jnp.sum(run(x, h0)[0] ** 3)
    np.testing.assert_allclose(jax.grad(jax.checkpoint(loss))(x), jax.grad(loss)(x), 1e-12)
    hessian = jax.hessian(loss)(x)
    np.testing.assert_allclose(hessian, np.transpose(hessian, (2, 3, 0, 1)), 1e-9, 1e-12)


@each_native
def test_only_what_is_asked_for_is_differentiated(operation, implementation, rng):
    """Without a gradient in the gates the backward kernel reads no states: the program holds no residual of them."""
    operands = make_operands(Case((64, 128), 0, (64, 128), h0=False), operation.gates, "float32", rng)

    def loss(x):
        return jnp.sum(operation.call({**operands, "x": x}, implementation=implementation)[0])

    text = jax.jit(jax.grad(loss)).lower(operands["x"]).compile().as_text()
    assert f"{operation.custom_call}_backward" in text
    assert f"{operation.custom_call}_forward" not in text


@each_native
def test_one_custom_call_and_no_temporaries(operation, implementation, rng):
    """No transposes, no copies, nothing materialised: a broadcast gate is an operand of its own size."""
    operands = make_operands(Case((8, 64, 4, 128), 1, (1, 1, 1, 128), h0=False), operation.gates, "complex64", rng)

    def run(operands, ct):
        h, vjp = jax.vjp(lambda o: operation.call(o, axis=1, implementation=implementation)[0], operands)
        return h, vjp(ct)[0]

    compiled = jax.jit(run).lower(operands, operands["x"]).compile()
    text = compiled.as_text()
    kinds = set(re.findall(r"= [^=]*? ([a-z][a-z-]*)\(", text))
    assert kinds <= {"parameter", "custom-call", "get-tuple-element", "tuple"}, kinds
    assert text.count("custom-call(") == 2
    state = 8 * 4 * 128 * 8
    assert compiled.memory_analysis().temp_size_in_bytes <= state + 1024


@each_native
def test_compile_time_does_not_grow_with_length(operation, implementation):
    def seconds(steps):
        x = jax.ShapeDtypeStruct((steps, 32), jnp.float32)
        operands = dict.fromkeys((*operation.gates, "x"), x)
        start = time.perf_counter()
        jax.jit(jax.grad(lambda o: jnp.sum(operation.call(o, implementation=implementation)[0]))).lower(
            operands
        ).compile()
        return time.perf_counter() - start

    seconds(10)
    assert seconds(50_000) < 2


@each_native
def test_export_and_reload(operation, implementation, rng):
    operands = make_operands(Case((9, 20), 0, (1, 20)), operation.gates, "float32", rng)

    def run(operands):
        return jax.value_and_grad(lambda o: jnp.sum(operation.call(o, implementation=implementation)[0] ** 2))(operands)

    exported = jax.export.export(jax.jit(run), disabled_checks=cssm_kernels.export_checks())(
        jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), operands)
    )
    reloaded = jax.export.deserialize(exported.serialize())
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y), reloaded.call(operands), jax.jit(run)(operands))


def test_exports_for_other_platforms_without_custom_calls(rng):
    """Off CPU and CUDA the default lowers to XLA, gradient included. (tests/gpu_offline has CUDA.)"""
    operands = make_operands(Case((9, 20), 0, (1, 20)), LINEAR_SCAN.gates, "float32", rng)
    grad = jax.jit(jax.grad(lambda o: jnp.sum(LINEAR_SCAN.call(o)[0] ** 2)))
    operation_call = LINEAR_SCAN.custom_call + "_"
    for platform in ("rocm", "tpu"):
        text = jax.export.export(grad, platforms=[platform])(operands).mlir_module()
        assert operation_call not in text
        assert "triton" not in text
    with pytest.raises(ValueError, match="implementation is 'cpu'"):
        jax.export.export(jax.jit(lambda o: LINEAR_SCAN.call(o, implementation="cpu")[0]), platforms=["tpu"])(operands)


def test_default_definition_agrees_with_the_native_kernels(rng):
    """What other platforms compile, run here: the primitives' definitions, to second order."""
    from cssm_kernels.linear_scan import rules

    operands = make_operands(Case((6, 5), 0, (1, 5), reset="step"), LINEAR_SCAN.gates, "float64", rng)
    a, x, h0, reset = operands["a"], operands["x"], operands["h0"][None], operands["reset"]
    params = dict(axis=0, reverse=False, implementation=None)
    h, final = rules.scan.definition(a, x, h0, reset, **params)
    for actual, expected in zip((h, final), rules.scan(a, x, h0, reset, **params)):
        np.testing.assert_allclose(actual, expected, 1e-12)
    ct, ct_final = random_array(rng, h.shape, "float64"), random_array(rng, final.shape, "float64")
    for given in ((h, ct, ct_final), (h, ct, None), (h, None, ct_final), (None, ct, ct_final)):
        arguments = (a, given[0], h0 if given[0] is not None else None, reset, *given[1:])
        actual = rules.vjp.definition(*arguments, **params, wants_dh0=True)
        for u, v in zip(actual, rules.vjp(*arguments, **params, wants_dh0=True)):
            np.testing.assert_allclose(u, v, 1e-10, 1e-12)
