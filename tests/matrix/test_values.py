"""Values and gradients of every operation, on every backend, against float64 and complex128."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.matrix import cases
from tests.matrix.cases import Case, make_operands, random_array, widened
from tests.matrix.operations import LINEAR_SCAN, OPERATIONS

EPS = {"float32": 2**-24, "complex64": 2**-24, "float64": 2**-53, "complex128": 2**-53}
OUT_EPS = {"bfloat16": 2**-8, "float16": 2**-11}  # rounding of the stored result
# Loss of a gradient against the largest of its array: sums of hundreds of products.
GRADIENT_TOLERANCE = {
    "float32": 1e-5,
    "complex64": 1e-5,
    "float64": 1e-13,
    "complex128": 1e-13,
    "bfloat16": 3e-2,
    "float16": 4e-3,
}

each_operation = pytest.mark.parametrize(
    "operation, implementation",
    [(operation, name) for operation in OPERATIONS for name in operation.implementations if name is not None],
    ids=lambda value: getattr(value, "name", value),
)
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def assert_within(actual, expected, bound):
    actual = np.asarray(actual).astype(np.asarray(expected).dtype)
    assert actual.shape == expected.shape
    excess = np.abs(actual - expected) - bound
    assert not np.any(np.isnan(actual)), "NaN where there should be none"
    assert np.all(excess <= 0), f"off by {np.max(np.abs(actual - expected)):.3e}, {np.max(excess):.3e} over the bound"


def check_values(operation, implementation, case, dtype, reverse, rng):
    operands = make_operands(case, operation.gates, dtype, rng)
    options = {"axis": case.axis, "reverse": reverse}
    wide = widened(operands)
    axis = case.axis % len(case.shape)
    expected, expected_final = operation.truth(wide, axis=axis, reverse=reverse)
    actual, final = jax.jit(lambda o: operation.call(o, implementation=implementation, **options))(operands)
    assert actual.dtype == operands["x"].dtype
    assert final.dtype == (jnp.float32 if dtype in OUT_EPS else actual.dtype)
    eps = EPS.get(dtype, 2**-24)
    if implementation == "xla":  # a tree of products: no step-by-step bound, a share of the largest value instead
        bound = np.full(expected.shape, 64 * eps * max(1.0, np.max(np.abs(expected), initial=0)))
    else:
        bound = operation.error_bound(wide, expected, eps, axis=axis, reverse=reverse)
    tiny = 1e-36  # denormals are flushed
    stored = OUT_EPS.get(dtype, 0) * np.abs(expected) + (2**-24 if dtype == "float16" else tiny)
    assert_within(actual, expected, 1.01 * (bound + stored))
    last = 0 if reverse else -1
    final_bound = np.take(bound, last, axis) if case.shape[axis] else np.zeros(expected_final.shape)
    assert_within(final, expected_final, 1.01 * final_bound + tiny)


def check_gradients(operation, implementation, case, dtype, reverse, rng):
    operands = make_operands(case, operation.gates, dtype, rng)
    flags = {name: operands.pop(name) for name in ("reset",) if name in operands}
    options = {"axis": case.axis, "reverse": reverse}

    def pulled_back(operands, cotangents):
        _, vjp = jax.vjp(lambda o: operation.call({**o, **flags}, implementation=implementation, **options), operands)
        return vjp(cotangents)[0]

    axis = case.axis % len(case.shape)
    state = case.shape[:axis] + case.shape[axis + 1 :]
    cotangents = (
        random_array(rng, case.shape, dtype),
        random_array(rng, state, "float32" if dtype in OUT_EPS else dtype),
    )
    actual = jax.jit(pulled_back)(operands, cotangents)
    wide = widened(dict(enumerate(cotangents)))
    expected = operation.gradients(widened({**operands, **flags}), wide[0], wide[1], axis=axis, reverse=reverse)
    for name in operands:
        scale = np.max(np.abs(expected[name]))
        assert actual[name].dtype == operands[name].dtype
        assert_within(actual[name], np.asarray(expected[name]), GRADIENT_TOLERANCE[dtype] * (1 + scale))


@each_operation
@directions
@pytest.mark.parametrize("dtype", cases.REAL + cases.COMPLEX)
def test_values(operation, implementation, reverse, dtype, rng):
    for case in cases.ALL if implementation in operation.native else cases.ALL[::6]:
        with _naming(case):
            check_values(operation, implementation, case, dtype, reverse, rng)


@each_operation
@directions
@pytest.mark.parametrize("dtype", cases.REAL + cases.COMPLEX)
def test_gradients(operation, implementation, reverse, dtype, rng):
    for case in cases.GRADIENTS if implementation in operation.native else cases.GRADIENTS[::18]:
        with _naming(case):
            check_gradients(operation, implementation, case, dtype, reverse, rng)


class _naming:
    """Adds the case to a failure's message."""

    def __init__(self, case):
        self.case = case

    def __enter__(self):
        pass

    def __exit__(self, kind, error, trace):
        if error is not None:
            error.add_note(f"in case {self.case}")


@st.composite
def any_case(draw):
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 5, 8, 17, 33]), min_size=rank, max_size=rank)))
    gate = tuple(n if draw(st.booleans()) else 1 for n in shape)[draw(st.integers(0, rank)) :]
    return Case(
        shape,
        draw(st.integers(-rank, rank - 1)),
        gate,
        h0=draw(st.booleans()),
        reset=draw(st.sampled_from(["", "step", "sequence", "element"])),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    case=any_case(),
    reverse=st.booleans(),
    dtype=st.sampled_from(["float32", "complex128", "bfloat16"]),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_any_shape(operation, case, reverse, dtype, seed):
    rng = np.random.default_rng(seed)
    check_values(operation, "cpu", case, dtype, reverse, rng)
    if 0 not in case.shape:
        check_gradients(operation, "cpu", case, dtype, reverse, rng)


@directions
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_long_constant_gate_accumulates_in_high_precision(operation, reverse, rng):
    """A gradient summed over 20,000 steps keeps single precision."""
    check_gradients(operation, "cpu", Case((20_000, 9), 0, (1, 9), h0=False), "float32", reverse, rng)


@each_operation
def test_non_finite_values_stay_in_their_lane_and_move_forward_only(operation, implementation, rng):
    for bad in (np.nan, np.inf):
        for axis, shape in ((0, (40, 50)), (1, (6, 40)), (1, (3, 40, 5))):
            operands = make_operands(Case(shape, axis, shape, h0=False), operation.gates, "float32", rng)
            at = [2] * len(shape)
            at[axis] = 10
            operands["x"][tuple(at)] = bad
            cotangent = random_array(rng, shape, "float32")

            def run(operands, cotangent):
                out, vjp = jax.vjp(lambda o: operation.call(o, axis=axis, implementation=implementation)[0], operands)
                return out, vjp(cotangent)[0]

            out, grads = jax.jit(run)(operands, cotangent)
            reached = np.zeros(shape, bool)
            lane = tuple(slice(10, None) if d == axis else 2 for d in range(len(shape)))
            reached[lane] = True
            np.testing.assert_array_equal(~np.isfinite(out), reached)
            assert np.all(np.isfinite(grads["x"])), "dx does not depend on x"
            for gate in operation.gates:
                assert np.all(np.isfinite(np.asarray(grads[gate])[~reached]))
            cotangent[tuple(at)] = bad
            operands["x"][tuple(at)] = 0
            out, grads = jax.jit(run)(operands, cotangent)
            assert np.all(np.isfinite(out))
            reached = np.zeros(shape, bool)
            reached[tuple(slice(0, 11) if d == axis else 2 for d in range(len(shape)))] = True
            np.testing.assert_array_equal(~np.isfinite(grads["x"]), reached)


@each_operation
@pytest.mark.parametrize("flags", ["step", "element"])
def test_reset_keeps_a_nan_in_its_own_sequence(operation, implementation, flags, rng):
    operands = make_operands(Case((20, 40), 0, (20, 40), reset=flags), operation.gates, "float32", rng)
    operands["reset"][:] = False
    operands["reset"][10] = True
    operands["x"][4] = np.nan
    out, _ = operation.call(operands, implementation=implementation)
    np.testing.assert_array_equal(np.isnan(out).any(1), [4 <= t < 10 for t in range(20)])


@each_operation
def test_same_bits_from_run_to_run(operation, implementation, rng):
    for case in (Case((64, 1000), 0, (1, 1)), Case((16, 40, 96), 1, (96,)), Case((300, 50), 1, (50,))):
        operands = make_operands(case, operation.gates, "float32", rng)

        @jax.jit
        def grads(operands):
            return jax.grad(
                lambda o: jnp.sum(operation.call(o, axis=case.axis, implementation=implementation)[0] ** 2)
            )(operands)

        first = grads(operands)
        for _ in range(5):
            again = grads(operands)
            for name in operands:
                assert np.asarray(first[name]).tobytes() == np.asarray(again[name]).tobytes()


@each_operation
@directions
def test_a_sequence_cut_anywhere_carries_on(operation, implementation, reverse, rng):
    for dtype in ("float32", "complex64", "bfloat16"):
        operands = make_operands(Case((50, 30), 0, (50, 30)), operation.gates, dtype, rng)
        whole, last = operation.call(operands, reverse=reverse, implementation=implementation)
        for cut in (1, 23, 49):
            head = {k: v if k == "h0" else v[-cut:] if reverse else v[:cut] for k, v in operands.items()}
            tail = {k: v if k == "h0" else v[:-cut] if reverse else v[cut:] for k, v in operands.items()}
            h1, carry = operation.call(head, reverse=reverse, implementation=implementation)
            h2, final = operation.call({**tail, "h0": carry}, reverse=reverse, implementation=implementation)
            joined = np.concatenate([h2, h1] if reverse else [h1, h2])
            tolerance = 1e-2 if dtype == "bfloat16" else 1e-5
            np.testing.assert_allclose(
                joined.astype("complex64"), np.asarray(whole).astype("complex64"), tolerance, tolerance
            )
            np.testing.assert_allclose(final, last, 1e-5, 1e-5)
            if implementation in operation.native:
                assert joined.tobytes() == np.asarray(whole).tobytes(), "the carry is exact"


def test_more_than_two_to_the_31_elements():
    lanes = 2**30 + 64
    a, x = jnp.asarray([[1], [3]], jnp.bfloat16), jnp.ones((1, lanes), jnp.bfloat16)
    out = LINEAR_SCAN.call({"a": a, "x": x}, implementation="cpu")[0]
    assert out.shape == (2, lanes)
    assert np.all(np.asarray(out[0, -4096:]) == 1)
    assert np.all(np.asarray(out[1, -4096:]) == 4)
    assert np.all(np.asarray(out[1, :4096]) == 4)
