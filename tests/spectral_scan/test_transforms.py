"""spectral_scan under JAX's transformations: higher orders in both modes, vmap over subsets of operands, remat, export."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import cssm_kernels
from cssm_kernels.spectral_scan import rules
from tests.matrix.cases import random_array
from tests.spectral_scan.cases import Case, call, directions, make_cotangents, make_operands, smooth_loss, split_flags

NAMES = ("h0", "k_hat", "x")
SUBSETS = [names for n in (1, 2, 3) for names in itertools.combinations(NAMES, n)]
FACTORS = (1.0, 0.5, -0.7)

# Frames with and without a column at W/2, past a checkpoint, and each optional operand there and not.
SMALL = [
    (Case((), 10, (2, 2, 1), h0=()), {}),
    (Case((2,), 3, (3, 3, 2), reset=(2,)), {"reverse": True}),
    (Case((2,), 3, (2, 4, 1), k_batch=(2,), h0=(2,), reset=()), {"last_only": True}),
    (Case((), 3, (3, 2, 2), k_batch=(2,), h0=()), {"last_only": True, "reverse": True}),
]


def derivatives(operands, flags, **options):
    """((y, final), gradients, Hessian-vector product)"""
    loss = lambda o: smooth_loss(*call({**o, **flags}, **options))
    _, product = jax.jvp(jax.grad(loss), (operands,), (operands,))
    return call({**operands, **flags}, **options), jax.grad(loss)(operands), product


def assert_close(actual, expected, tolerance=1e-9):
    """Within a share of the largest of each array."""
    jax.tree.map(
        lambda u, v: np.testing.assert_allclose(u, v, 0, tolerance * (1 + np.max(np.abs(v), initial=0))),
        actual,
        expected,
    )


@pytest.mark.parametrize("case, options", SMALL, ids=[f"{case} {','.join(options)}" for case, options in SMALL])
def test_second_order_in_both_modes(case, options, rng):
    operands, flags = split_flags(make_operands(case, "float64", rng))
    check_grads(jax.jit(lambda o: call({**o, **flags}, **options)), (operands,), order=2, modes=("fwd", "rev"))


def test_third_order(rng):
    operands = make_operands(Case((), 2, (1, 2, 1)), "float64", rng)
    check_grads(jax.jit(lambda o: call(o)[0]), (operands,), order=3, modes=("fwd", "rev"))


@pytest.mark.parametrize("implementation", ["sequential", "unfused"])
@directions
def test_second_order_equals_that_of_the_definition(implementation, reverse, rng):
    """On more than check_grads can afford: several channels, batches, steps past a checkpoint."""
    case = Case((2,), 18, (5, 4, 3), k_batch=(2,), h0=(), reset=(2,))
    operands, flags = split_flags(make_operands(case, "float64", rng))
    run = lambda name: jax.jit(lambda o: derivatives(o, flags, reverse=reverse, implementation=name))(operands)
    assert_close(run("cpu"), run(implementation))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_second_order_in_lesser_precision(dtype, rng):
    """Every tangent and cotangent has the dtype it should, and what it loses is what the dtype cannot hold."""
    operands = make_operands(Case((2,), 10, (4, 5, 3), h0=()), dtype, rng)
    wide = jax.tree.map(lambda v: jnp.asarray(v, "complex128" if v.dtype == "complex64" else "float64"), operands)
    actual = jax.jit(lambda o: derivatives(o, {}))(operands)
    for grads in actual[1:]:
        assert {name: v.dtype for name, v in grads.items()} == {name: v.dtype for name, v in operands.items()}
    widened = jax.tree.map(lambda v: v.astype("complex128"), actual)
    expected = jax.jit(lambda o: derivatives(o, {}))(wide)
    assert_close(widened, expected, {"float32": 1e-5, "bfloat16": 3e-2, "float16": 4e-3}[dtype])


@pytest.mark.parametrize("tangents", SUBSETS, ids=str)
def test_jvp_along_each_subset_of_operands(tangents, rng):
    """And its transpose, <ct, J v> = <J^T ct, v>, which ties the forward kernel to the backward one."""
    case = Case((2,), 10, (4, 5, 3), h0=(), reset=())
    operands, flags = split_flags(make_operands(case, "float64", rng))
    along = {name: operands[name] for name in tangents}

    def run(along, implementation=None):
        return call({**operands, **flags, **along}, implementation=implementation)

    direction = {name: random_array(rng, v.shape, v.dtype) for name, v in along.items()}
    _, pushed = jax.jvp(run, (along,), (direction,))
    assert_close(pushed, jax.jvp(lambda a: run(a, "sequential"), (along,), (direction,))[1], 1e-12)
    cts = make_cotangents(case, "float64", False, rng)
    inner = lambda u, v: sum(np.sum(np.asarray(a) * np.asarray(b)).real for a, b in zip(u, v))
    (pulled,) = jax.vjp(run, along)[1](cts)
    np.testing.assert_allclose(inner(pulled.values(), (direction[name] for name in pulled)), inner(cts, pushed), 1e-10)


@pytest.mark.parametrize("at", [0, 2], ids=["leading", "inner"])
def test_vmap_over_each_subset_of_operands(at, rng):
    """Values, gradients and second derivatives equal those of a loop, whatever is batched and wherever."""
    case = Case((), 9, (3, 4, 2), h0=(), reset=() if at else None)
    base, flags = split_flags(make_operands(case, "float64", rng))
    run = lambda o: derivatives(o, flags, reverse=bool(at))
    single = jax.jit(run)
    for batched in SUBSETS:
        scaled = lambda factor: {name: v * factor if name in batched else v for name, v in base.items()}
        stacked = {
            name: np.stack([v * factor for factor in FACTORS], at) if name in batched else v for name, v in base.items()
        }
        axes = {name: at if name in batched else None for name in base}
        actual = jax.jit(jax.vmap(run, (axes,)))(stacked)
        for i, factor in enumerate(FACTORS):
            assert_close(jax.tree.map(lambda v: v[i], actual), single(scaled(factor)))


def test_vmap_over_reset_and_nested_vmap(rng):
    operands = make_operands(Case((), 9, (3, 4, 2), h0=()), "float64", rng)
    resets, xs = rng.random((4, 9)) < 0.4, np.stack([operands["x"], 2 * operands["x"]])

    def run(reset, x):
        return jax.grad(lambda o: smooth_loss(*call({**o, "reset": reset}, last_only=True)))({**operands, "x": x})

    actual = jax.jit(jax.vmap(jax.vmap(run, (None, 0)), (0, None)))(resets, xs)
    single = jax.jit(run)
    for i, j in itertools.product(range(4), range(2)):
        assert_close(jax.tree.map(lambda v: v[i, j], actual), single(resets[i], xs[j]))


@directions
def test_linear_transpose_and_remat(reverse, rng):
    operands = make_operands(Case((2,), 10, (4, 5, 3), k_batch=(2,), h0=()), "float64", rng)
    x, h0 = operands["x"], operands["h0"]
    run = lambda x, h0: call({**operands, "x": x, "h0": h0}, reverse=reverse)
    ct = tuple(random_array(rng, out.shape, out.dtype) for out in run(x, h0))
    assert_close(jax.linear_transpose(run, x, h0)(ct), jax.vjp(run, x, h0)[1](ct), 1e-12)
    (of_x,) = jax.linear_transpose(lambda x: run(x, None)[0], x)(ct[0])
    assert_close(of_x, jax.vjp(lambda x: run(x, None)[0], x)[1](ct[0])[0], 1e-12)
    loss = lambda o: smooth_loss(*call(o, reverse=reverse))
    assert_close(jax.grad(jax.checkpoint(loss))(operands), jax.grad(loss)(operands), 1e-12)


def test_transposing_what_is_not_linear_is_refused(rng):
    operands = make_operands(Case((), 3, (2, 3, 1)), "float64", rng)
    with pytest.raises(NotImplementedError, match="not linear in k_hat and"):
        jax.linear_transpose(lambda k, x: cssm_kernels.spectral_scan(x, k), operands["k_hat"], operands["x"])(
            operands["x"]
        )


@pytest.mark.parametrize("last_only", [False, True])
def test_export_and_reload(last_only, rng):
    operands, flags = split_flags(make_operands(Case((2,), 10, (4, 5, 3), h0=(), reset=()), "float32", rng))
    run = jax.jit(jax.value_and_grad(lambda o: smooth_loss(*call({**o, **flags}, last_only=last_only))))
    exported = jax.export.export(run, disabled_checks=cssm_kernels.export_checks())(operands)
    reloaded = jax.export.deserialize(exported.serialize())
    jax.tree.map(np.testing.assert_array_equal, reloaded.call(operands), run(operands))


def test_exports_for_other_platforms_without_custom_calls(rng):
    """Off CPU and CUDA the default lowers to XLA, gradient included. (tests/gpu_offline has CUDA.)"""
    operands = make_operands(Case((2,), 10, (4, 4, 3), h0=()), "float32", rng)
    gradient = jax.jit(jax.grad(lambda o: smooth_loss(*call(o))))
    for platform in ("rocm", "tpu"):
        assert "@cssm_" not in jax.export.export(gradient, platforms=[platform])(operands).mlir_module()
    with pytest.raises(ValueError, match="implementation is 'cpu'"):
        jax.export.export(jax.jit(lambda o: call(o, implementation="cpu")), platforms=["tpu"])(operands)


@pytest.mark.parametrize(
    "steps, last_only, reverse", [(1, False, False), (7, True, False), (8, True, True), (17, False, True)]
)
def test_definitions_agree_with_the_native_kernels(steps, last_only, reverse, rng):
    """What other platforms compile, run here: checkpoints and every combination of absent operands included."""
    case = Case((2,), steps, (4, 5, 3), h0=(1,), reset=(2,))
    operands = make_operands(case, "float64", rng)
    k_hat, h0 = operands["k_hat"][None, None], operands["h0"][:, None]
    x, reset = operands["x"], operands["reset"][..., None, None, None]
    options = dict(axis=1, reverse=reverse, last_only=last_only, implementation=None)
    compiled = lambda f, *o, **params: jax.jit(lambda *o: f(*o, **params))(*o)
    kept = dict(options, saves=True, returns_final=True)
    forward = compiled(rules.scan, k_hat, x, h0, reset, **kept)
    assert_close(forward, compiled(rules.scan.definition, k_hat, x, h0, reset, **kept), 1e-12)
    y, final, checkpoints = forward
    for f in (rules.scan, rules.scan.definition):
        without_final = compiled(f, k_hat, x, h0, reset, **{**kept, "returns_final": False})
        assert_close(without_final, [y, checkpoints], 1e-12)
    ct, ct_final = (random_array(rng, v.shape, v.dtype) for v in (y, final))
    params = dict(steps=steps, width=5, dtype=jnp.dtype("float64"), wants_dh0=True, **options)
    for saved in ((x, h0, reset, checkpoints), (x, None, None, None), (None, None, reset, None)):
        x_, h0_, reset_, checkpoints_ = saved
        if x_ is not None:
            # The states kept have to be those of the same operands.
            checkpoints_ = compiled(rules.scan, k_hat, x_, h0_, reset_, **kept)[2]
        for cts in ((ct, None), (None, ct_final)):
            arguments = (k_hat, x_, h0_, reset_, checkpoints_, *cts)
            actual, expected = (compiled(f, *arguments, **params) for f in (rules.vjp, rules.vjp.definition))
            assert_close(actual, expected, 1e-12)
