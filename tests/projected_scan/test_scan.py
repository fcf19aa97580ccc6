"""projected_scan: values and gradients against NumPy in complex128, on the cases of spectral_scan."""

from __future__ import annotations

import functools
import re
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cssm_kernels import dense, projected_scan, spectral_scan
from cssm_kernels.projected_scan import rules
from tests.matrix.cases import random_array, widened
from tests.spectral_scan import cases, truth
from tests.spectral_scan.cases import Case, directions, make_cotangents, make_operands, split_flags
from tests.spectral_scan.test_gradients import TOLERANCE
from tests.spectral_scan.test_values import any_case

# Steps at the edges of segments of two and of four; more channels than the kernel takes; frames cut into parts of rows.
OWN = [
    *(Case((2,), steps, (24, 24, 128), h0=()) for steps in (2, 3, 5)),
    Case((), 3, (4, 3, 129)),
    Case((3,), 4, (56, 64, 20)),
    *(Case((2,), steps, (16, 16, 128), reset=(2,)) for steps in (4, 5, 8, 11)),
    Case((2,), 2, (57, 31, 20), h0=(2,)),
]
CHANNELS = [(1, 1), (1, 128), (5, 33), (17, 16), (33, 5), (48, 96), (128, 1), (127, 128), (3, 129), (129, 3)]
CASES = [*cases.ALL, *OWN]
SOME = [*cases.SOME, OWN[2]]


def projection(case, width, dtype, rng):
    """w and bias"""
    channels = case.frame[-1]
    return random_array(rng, (channels, width), dtype) / channels, random_array(rng, (width,), dtype)


def call(operands, w, bias, **options):
    """(y, final)"""
    h0, reset = operands.get("h0"), operands.get("reset")
    return projected_scan(operands["x"], operands["k_hat"], w, bias, h0, reset=reset, return_final=True, **options)


def pulled_back(operands, w, bias, cotangents, **options):
    """((y, final), gradients by name)"""
    primals, flags = split_flags(operands)
    o = primals | {"w": w} | ({} if bias is None else {"bias": bias})
    run = lambda o: call(
        {k: v for k, v in o.items() if k not in ("w", "bias")} | flags, o["w"], o.get("bias"), **options
    )
    outs, vjp = jax.vjp(run, o)
    return outs, vjp(cotangents)[0]


def expected_of(operands, w, bias, cotangents, *, minus_x, reverse):
    operands = widened(operands)
    ct, ct_final = widened(dict(enumerate(cotangents))).values()
    w = np.float64(w)
    s, final = truth.values(operands, reverse=reverse)
    grads = truth.gradients(operands, ct @ w.T, ct_final, reverse=reverse)
    x = np.broadcast_to(operands["x"], s.shape)
    lead = tuple(range(s.ndim - 1))
    grads |= {"w": np.tensordot(s, ct, (lead, lead))}
    y = s @ w
    if bias is not None:
        y, grads["bias"] = y + np.float64(bias), ct.sum(lead)
    if minus_x:
        y = y - x
        extra = ct.sum(tuple(range(ct.ndim - operands["x"].ndim)))
        own = tuple(d for d, n in enumerate(operands["x"].shape) if n == 1 and extra.shape[d] > 1)
        grads["x"] = grads["x"] - extra.sum(own, keepdims=True)
    return (y, final), grads


def check(case, dtype, rng, *, implementation="cpu", minus_x=False, reverse=False, width=None, has_bias=True):
    width = case.frame[-1] if width is None or minus_x else width
    if implementation == "cpu" and max(width, case.frame[-1]) > 128:
        implementation = None
    operands = make_operands(case, dtype, rng)
    w, bias = projection(case, width, dtype, rng)
    bias = bias if has_bias else None
    ct, ct_final = make_cotangents(case, dtype, False, rng)
    cotangents = random_array(rng, (*ct.shape[:-1], width), dtype), ct_final
    how = {"minus_x": minus_x, "reverse": reverse}
    run = jax.jit(lambda o, w, b, ct: pulled_back(o, w, b, ct, implementation=implementation, **how))
    actual = run(operands, w, bias, cotangents)
    expected = expected_of(operands, w, bias, cotangents, **how)
    assert actual[0][0].dtype == dtype
    for (path, a), e in zip(jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        error = np.max(np.abs(np.asarray(a).astype(np.asarray(e).dtype) - e), initial=0)
        tolerance = 2 * TOLERANCE[dtype] * (1 + np.max(np.abs(e), initial=0))
        assert error <= tolerance, f"{path} is off by {error:.2e}, {tolerance:.2e} allowed"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients(case, rng):
    check(case, "float32", rng, minus_x=True)
    check(case, "float64", rng, reverse=True, width=7, has_bias=False)


@pytest.mark.parametrize("implementation", [None, "unfused", "xla", "sequential"])
@pytest.mark.parametrize("case", SOME[2::4], ids=str)
def test_every_form(implementation, case, rng):
    check(case, "float64", rng, implementation=implementation, minus_x=True, reverse=bool(case.reset))


@pytest.mark.parametrize("channels, width", CHANNELS, ids=str)
def test_matrices_that_are_not_square(channels, width, rng):
    case = Case((2,), 9, (3, 4, channels), h0=(2,), reset=())
    check(case, "float32", rng, width=width, has_bias=False)
    check(case, "float64", rng, width=width, reverse=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_halves_by_the_pair(dtype, rng):
    operands = make_operands(Case((2,), 3, (4, 6, 5), h0=()), dtype, rng)
    w, bias = projection(Case((), 1, (1, 1, 5)), 3, dtype, rng)
    y, final = call(operands, w, bias)
    s, expected = spectral_scan(operands["x"], operands["k_hat"], operands["h0"], return_final=True)
    np.testing.assert_array_equal(y, dense(s, w, bias))
    np.testing.assert_array_equal(final, expected)
    check(Case((2,), 9, (4, 6, 5), h0=(), reset=(2,)), dtype, rng, implementation=None, width=3, has_bias=False)


@pytest.mark.parametrize("case", SOME[2::4], ids=str)
def test_is_the_pair(case, rng):
    """In float64, to little more than the order of sums."""
    operands = make_operands(case, "float64", rng)
    w, bias = projection(case, case.frame[-1], "float64", rng)
    ct = make_cotangents(case, "float64", False, rng)

    primals, flags = split_flags(operands)

    def of_pair(o, w, bias):
        s, final = cases.call(o)
        return dense(s, w, bias), final

    @functools.partial(jax.jit, static_argnums=0)
    def run(f, *primals):
        outs, vjp = jax.vjp(lambda o, w, b: f({**o, **flags}, w, b), *primals)
        return outs, vjp(ct)

    ours, pair = (run(f, primals, w, bias) for f in (functools.partial(call, implementation="cpu"), of_pair))
    close = lambda a, e: np.testing.assert_allclose(a, e, 1e-12, 1e-12 * (1 + np.max(np.abs(e))))
    jax.tree.map(close, ours, pair)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(any_case(), st.booleans(), st.booleans(), st.integers(1, 40), st.integers(0, 99))
def test_any_shape(case, reverse, minus_x, width, seed):
    check(case, "float64", np.random.default_rng(seed), reverse=reverse, minus_x=minus_x, width=width)


def test_segments_are_of_two_four_and_eight_steps():
    """What the cases above rely on."""
    assert rules.checkpoint_spacing(24, 24, 128) == 2
    assert rules.checkpoint_spacing(16, 16, 128) == 4
    assert rules.checkpoint_spacing(4, 6, 3) == 8


@pytest.mark.parametrize("reverse, minus_x, width", [(False, True, 48), (True, False, 64)])
def test_large_operands_which_pass_the_caches_have_the_same_bits(reverse, minus_x, width, rng):
    """And those of a sequence alone, whose phases all threads share: it has the 32 Ki pixels that takes (share_groups)."""
    x, g = (random_array(rng, (6, 22, 32, 48, n), "float32") for n in (48, width))
    k_hat = 0.9 * random_array(rng, (32, 25, 48), "complex64")
    w = random_array(rng, (48, width), "float32") / 8

    @jax.jit
    def run(x, g):
        of = lambda x, k, w: projected_scan(x, k, w, minus_x=minus_x, reverse=reverse, implementation="cpu")
        y, vjp = jax.vjp(of, x, k_hat, w)
        return y, vjp(g)

    y, (dx, dk, dw) = jax.tree.map(np.asarray, run(x, g))
    sums = []
    for i in range(6):
        own_y, (own_dx, *own) = run(x[i], g[i])
        np.testing.assert_array_equal(y[i], own_y)
        np.testing.assert_array_equal(dx[i], own_dx)
        sums.append(own)
    for whole, parts in zip((dk, dw), zip(*sums)):
        np.testing.assert_allclose(whole, np.sum(parts, 0), 0, 1e-5 * np.abs(whole).max())
    jax.tree.map(np.testing.assert_array_equal, run(x, g), (y, (dx, dk, dw)))


def test_nan_stays_in_its_sequence_and_moves_forward_only(rng):
    """The matrix mixes the channels of a frame, and nothing else."""
    operands = make_operands(Case((3,), 9, (4, 5, 3), k_batch=(3,)), "float32", rng)
    operands["x"][1, 4, 2, 1, 0] = np.nan
    w, bias = projection(Case((), 1, (1, 1, 3)), 3, "float32", rng)
    ct = np.ones((3, 9, 4, 5, 3), np.float32)
    (y, _), grads = pulled_back(operands, w, bias, (ct, np.zeros((3, 4, 3, 3), np.complex64)), implementation="cpu")
    bad = np.isnan(y).any((2, 3, 4))
    np.testing.assert_array_equal(bad, [[False] * 9, [False] * 4 + [True] * 5, [False] * 9])
    assert np.isfinite(grads["x"]).all()  # linear in x
    assert np.isnan(grads["w"]).any()
    np.testing.assert_array_equal(np.isnan(grads["k_hat"]).any((1, 2, 3)), [False, True, False])
    bad_ct = ct.copy()
    bad_ct[1, 4, 2, 1, 0] = np.nan
    operands["x"] = np.ones_like(operands["x"])
    (y, _), grads = pulled_back(operands, w, bias, (bad_ct, np.zeros((3, 4, 3, 3), np.complex64)), implementation="cpu")
    assert np.isfinite(y).all()
    bad = np.isnan(grads["x"]).any((2, 3, 4))
    np.testing.assert_array_equal(bad, [[False] * 9, [True] * 5 + [False] * 4, [False] * 9])
    np.testing.assert_array_equal(np.isnan(grads["bias"]), [True, False, False])
    np.testing.assert_array_equal(np.isnan(grads["w"]), [[True, False, False]] * 3)


@directions
def test_a_reset_ends_a_nan(reverse, rng):
    """Nothing of the state passes, not even times zero, forward or back."""
    operands = make_operands(Case((2,), 12, (4, 5, 3), reset=(2,)), "float32", rng)
    operands["reset"] = np.zeros((2, 12), bool)
    operands["reset"][1, 4 if reverse else 7] = True
    operands["x"][:, 8 if reverse else 3] = np.nan
    w, bias = projection(Case((), 1, (1, 1, 3)), 3, "float32", rng)
    y, final = call(operands, w, bias, reverse=reverse, implementation="cpu")
    ahead = np.arange(12)[::-1] if reverse else np.arange(12)  # the order of the scan
    np.testing.assert_array_equal(np.isnan(y).any((2, 3, 4)), [ahead >= 3, (ahead >= 3) & (ahead < 7)])
    assert np.isfinite(final[1]).all()


def test_a_program_keeps_no_frame_between_the_two(rng):
    """A gradient needs less memory than that of the pair, by two videos at least."""
    shape = jax.ShapeDtypeStruct((2, 8, 16, 16, 32), jnp.float32)
    k_hat, w = jnp.ones((16, 9, 32), jnp.complex64), jnp.ones((32, 32), jnp.float32)
    loss = lambda x, k_hat, w: jnp.sum(projected_scan(x, k_hat, w, minus_x=True, implementation="cpu") ** 2)
    of_pair = lambda x, k_hat, w: jnp.sum(dense(spectral_scan(x, k_hat), w, minus=x) ** 2)
    ours, pair = (
        jax.jit(jax.grad(f, (0, 1, 2))).lower(shape, k_hat, w).compile().memory_analysis().temp_size_in_bytes
        for f in (loss, of_pair)
    )
    assert ours <= pair - 2 * 8 * 16 * 16 * 32 * 4


def called(shape, dtype="float32", width=32, **options):
    """The native kernels in a program of the gradients."""
    *_, height, columns, channels = shape
    k_hat = jnp.ones((height, columns // 2 + 1, channels), cases.complex_dtype(dtype))
    loss = lambda x, k, w: jnp.sum(projected_scan(x, k, w, **options) ** 2)
    operands = jax.ShapeDtypeStruct(shape, dtype), k_hat, jnp.ones((channels, width), dtype)
    text = jax.jit(jax.grad(loss, (0, 1, 2))).lower(*operands).compile().as_text()
    return sorted(set(re.findall(r'custom_call_target="cssm_(\w+)"', text)))


@pytest.mark.parametrize(
    "shape, dtype, width, options, fused",
    [
        ((2, 9, 16, 16, 32), "float32", 32, {}, True),
        ((9, 16, 16, 32), "float32", 32, {"implementation": "cpu"}, True),
        ((9, 16, 16, 32), "float32", 32, {}, False),  # one sequence
        ((1, 9, 16, 16, 32), "float32", 32, {}, False),
        ((2, 2, 64, 32, 32), "float32", 32, {}, True),  # 256 KiB
        ((2, 2, 64, 32, 33), "float32", 33, {}, False),
        ((2, 2, 64, 32, 17), "float64", 17, {}, False),
        ((2, 9, 4, 4, 8), "bfloat16", 8, {}, False),
        ((2, 9, 4, 4, 8), "float32", 129, {}, False),
        ((2, 9, 4, 4, 8), "float32", 8, {"implementation": "unfused"}, False),
    ],
)
def test_which_kernels_a_program_runs(shape, dtype, width, options, fused):
    ours = ["projected_scan_backward", "projected_scan_forward"]
    kernels = called(shape, dtype, width, **options)
    assert (kernels == ours) if fused else not any("projected" in name for name in kernels), kernels


def test_many_concurrent_calls(rng):
    """XLA's pool is shared by all calls, and each lays out its matrix once for all threads."""
    x = random_array(rng, (2, 9, 24, 24, 40), "float32")
    k_hat = random_array(rng, (24, 13, 40), "complex64") * 0.2
    w = random_array(rng, (40, 40), "float32")
    loss = lambda *o: jnp.sum(projected_scan(*o, implementation="cpu") ** 2)
    run = jax.jit(lambda s: jax.grad(loss, (0, 1, 2))(x, k_hat, w * s))
    scales = np.linspace(0.1, 0.9, 8, dtype=np.float32)
    expected = [jax.tree.map(np.asarray, run(s)) for s in scales]
    with ThreadPoolExecutor(8) as pool:
        for i, grads in enumerate(pool.map(lambda i: jax.tree.map(np.asarray, run(scales[i % 8])), range(64))):
            jax.tree.map(np.testing.assert_array_equal, grads, expected[i % 8])
