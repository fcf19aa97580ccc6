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
from tests.matrix import test_values
from tests.matrix.cases import EXACT, Case, random_array
from tests.matrix.operations import LINEAR_SCAN, OPERATIONS, each

name_of = lambda value: getattr(value, "name", str(value))
each_primitive = pytest.mark.parametrize(
    "operation, implementation", each(OPERATIONS, lambda operation: operation.primitives), ids=name_of
)
each_native = pytest.mark.parametrize(
    "operation, implementation",
    each(OPERATIONS, lambda operation: [name for name in operation.native if name is not None]),
    ids=name_of,
)
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
SMALL = LINEAR_SCAN.small


@pytest.mark.parametrize(
    "operation, implementation, reverse, dtype, case",
    [
        (*pair, reverse, dtype, case)
        for pair in each(OPERATIONS, lambda operation: operation.primitives)
        for reverse, dtype, case in itertools.product((False, True), EXACT, pair[0].small)
        if pair[0] is LINEAR_SCAN or reverse == (dtype == "complex128")
    ],
    ids=name_of,
)
def test_second_order_in_both_modes(operation, implementation, reverse, dtype, case, rng):
    operands = operation.make(case, dtype, rng)
    flags = {name: operands.pop(name) for name in ("reset",) if name in operands}
    options = dict(axis=case.axis, reverse=reverse, **dict(case.options))

    def f(operands):
        return operation.call({**operands, **flags}, implementation=implementation, **options)

    check_grads(jax.jit(f), (operands,), order=2, modes=("fwd", "rev"))


@each_primitive
def test_third_order(operation, implementation, rng):
    operands = operation.make(Case((3, 2), 0, (3, 2)), "float64", rng)
    # With vectors and matrices the definitions are loops: their derivatives of each order take twice as long to compile.
    modes = ("rev",) if operation.components or not operation.is_linear else ("fwd", "rev")
    run = jax.jit(lambda o: operation.call(o, implementation=implementation))
    check_grads(run, (operands,), order=3, modes=modes)


def subsets(names, reverse, every):
    """Every non-empty subset, batched at 0 and at 1; or each alone, or all but each in `reverse`, in turns."""
    if every:
        sizes = range(1, len(names) + 1)
        return [(subset, at) for size in sizes for subset in itertools.combinations(names, size) for at in (0, 1)]
    chosen = [tuple(n for n in names if (n == name) != reverse) for name in names]
    return [(subset, i % 2) for i, subset in enumerate(chosen)]


@pytest.mark.parametrize(
    "operation, implementation, reverse, dtype, reset",
    [
        (*pair, reverse, dtype, reset)
        for pair in each(OPERATIONS, lambda operation: operation.primitives)
        for reverse, dtype, reset in itertools.product((False, True), EXACT, ("", "step"))
        if pair[0] is LINEAR_SCAN or (dtype == "complex128" and reverse == (reset == ""))
    ],
    ids=name_of,
)
def test_vmap_over_each_subset_of_operands(operation, implementation, reverse, dtype, reset, rng):
    """Values, gradients and second derivatives under vmap equal those of a loop, whatever is batched and wherever."""
    case = Case((5, 4), 0, (1, 4), reset=reset)
    base = operation.make(case, dtype, rng)
    flags = {name: base.pop(name) for name in ("reset",) if name in base}
    names = sorted(base)
    weight = random_array(rng, base[operation.main].shape, dtype)

    def loss(operands):
        h, final = operation.call({**operands, **flags}, reverse=reverse, implementation=implementation)
        return jnp.sum(jnp.abs(h) ** 2 * jnp.abs(weight)) + jnp.sum(jnp.abs(final) ** 2)

    def everything(operands):
        grad = jax.grad(loss)
        value = operation.call({**operands, **flags}, reverse=reverse, implementation=implementation)
        _, hvp = jax.jvp(grad, (operands,), (operands,))
        return value, grad(operands), hvp

    alone, scales = jax.jit(everything), (1.0, 0.5, -0.7)
    for batched, at in subsets(names, reverse, len(names) < 4 and operation.bare is None):
        axes = {name: min(at, base[name].ndim) if name in batched else None for name in names}
        scaled = lambda name, s: base[name] * s if name in batched else base[name]
        stacked = {
            name: base[name] if axes[name] is None else np.stack([scaled(name, s) for s in scales], axes[name])
            for name in names
        }
        actual = jax.jit(jax.vmap(everything, (axes,)))(stacked)
        for i, s in enumerate(scales):
            expected = alone({name: scaled(name, s) for name in names})
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x[i], y, 1e-9, 1e-9), actual, expected)


@each_primitive
def test_vmap_over_reset_and_nested_vmap(operation, implementation, rng):
    operands = operation.make(Case((6, 3), 0, (6, 3), h0=False), "float64", rng)
    resets, main = rng.random((4, 6, 1)) < 0.4, operation.main
    run = lambda reset, x: operation.call({**operands, main: x, "reset": reset}, implementation=implementation)[0]
    xs = np.stack([operands[main], 2 * operands[main]])
    actual = jax.vmap(jax.vmap(run, (None, 0)), (0, None))(resets, xs)
    for i, j in itertools.product(range(4), range(2)):
        np.testing.assert_allclose(actual[i, j], run(resets[i], xs[j]), 1e-12)


@each_primitive
@directions
def test_linear_transpose_remat_and_hessian(operation, implementation, reverse, rng):
    operands, main = operation.make(Case((5, 3), 0, (5, 3)), "float64", rng), operation.main
    x, h0 = operands[main], operands["h0"]
    run = lambda x, h0: operation.call({**operands, main: x, "h0": h0}, reverse=reverse, implementation=implementation)
    ct = tuple(random_array(rng, out.shape, "float64") for out in run(x, h0))
    if operation.is_linear:
        transposed = jax.linear_transpose(run, x, h0)(ct)
        jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, 1e-12), transposed, jax.vjp(run, x, h0)[1](ct))
    loss = lambda x: jnp.sum(run(x, h0)[0] ** 3)
    np.testing.assert_allclose(jax.grad(jax.checkpoint(loss))(x), jax.grad(loss)(x), 1e-12)
    hessian = jax.hessian(loss)(x)
    swapped = (*range(x.ndim, 2 * x.ndim), *range(x.ndim))
    np.testing.assert_allclose(hessian, np.transpose(hessian, swapped), 1e-9, 1e-12)


@each_native
def test_only_what_is_asked_for_is_differentiated(operation, implementation, rng):
    """Without a gradient in the gates the backward kernel reads no states: the program holds no residual of them."""
    operands = operation.make(Case((64, 128), 0, (64, 128), h0=False), operation.dtypes[0], rng)

    def loss(x):
        return jnp.sum(operation.alone({**operands, operation.main: x}, implementation=implementation)[0]).real

    text = jax.jit(jax.grad(loss)).lower(operands[operation.main]).compile().as_text()
    assert f"{operation.custom_call}_backward" in text
    assert f"{operation.custom_call}_forward" not in text


@each_native
def test_one_custom_call_and_no_temporaries(operation, implementation, rng):
    """No transposes, no copies, nothing materialised: a broadcast gate is an operand of its own size."""
    operands = operation.make(Case((8, 64, 4, 128), 1, (1, 1, 1, 128), h0=False), "complex64", rng)
    main = operands[operation.main]

    def run(operands, ct):
        h, vjp = jax.vjp(lambda o: operation.alone(o, axis=1, implementation=implementation)[0], operands)
        return h, vjp(ct)[0]

    compiled = jax.jit(run).lower(operands, main).compile()
    text = compiled.as_text()
    kinds = set(re.findall(r"= [^=]*? ([a-z][a-z-]*)\(", text))
    assert kinds <= {"parameter", "custom-call", "get-tuple-element", "tuple"}, kinds
    assert text.count("custom-call(") == 2
    state = main[:, 0].nbytes
    assert compiled.memory_analysis().temp_size_in_bytes <= state + 1024


@each_native
def test_compile_time_does_not_grow_with_length(operation, implementation, rng):
    def seconds(steps):
        operands = operation.make(Case((steps, 4), 0, (steps, 4), h0=False), "float32", rng)
        start = time.perf_counter()
        jax.jit(jax.grad(lambda o: jnp.sum(operation.call(o, implementation=implementation)[0]))).lower(
            operands
        ).compile()
        return time.perf_counter() - start

    seconds(10)
    assert seconds(50_000) < 2


@each_primitive
def test_export_and_reload(operation, implementation, rng):
    operands = operation.make(Case((9, 20), 0, (1, 20)), "float32", rng)

    def run(operands):
        return jax.value_and_grad(lambda o: jnp.sum(operation.call(o, implementation=implementation)[0] ** 2))(operands)

    exported = jax.export.export(jax.jit(run), disabled_checks=cssm_kernels.export_checks())(
        jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), operands)
    )
    reloaded = jax.export.deserialize(exported.serialize())
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y), reloaded.call(operands), jax.jit(run)(operands))


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
def test_exports_for_other_platforms_without_custom_calls(operation, rng):
    """Off CPU and CUDA the default lowers to XLA, gradient included. (tests/gpu_offline has CUDA.)"""
    operands = operation.make(Case((9, 20), 0, (1, 20)), "float32", rng)
    grad = jax.jit(jax.grad(lambda o: jnp.sum(operation.call(o)[0] ** 2)))
    for platform in ("rocm", "tpu"):
        text = jax.export.export(grad, platforms=[platform])(operands).mlir_module()
        assert operation.custom_call not in text
        assert "triton" not in text
    for name in operation.native:
        if name is not None:
            run = jax.jit(lambda o, name=name: operation.call(o, implementation=name)[0])
            with pytest.raises(ValueError, match=f"implementation is {name!r}"):
                jax.export.export(run, platforms=["tpu"])(operands)


@each_native
@pytest.mark.parametrize("dtype", ["complex128", "bfloat16"])
def test_definitions_agree_with_the_native_kernels(operation, implementation, dtype, rng, monkeypatch):
    """What other platforms compile, and what higher derivatives go through, run here."""
    if dtype not in operation.dtypes:
        return
    for primitive in (operation.rules.scan, operation.rules.tangent, operation.rules.vjp):
        monkeypatch.setattr(primitive, "_default", {})
    for case in operation.small:
        test_values.check_values(operation, None, case, dtype, False, rng)
        test_values.check_gradients(operation, None, case, dtype, True, rng)
