"""Values and gradients of every operation, on every backend, against float64 and complex128."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.matrix.cases import COMPLEX, REAL, Case, random_array, widened
from tests.matrix.operations import LINEAR_SCAN, OPERATIONS, each

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
    each(OPERATIONS, lambda operation: operation.primitives + operation.references),
    ids=lambda value: getattr(value, "name", str(value)),
)
each_primitive = pytest.mark.parametrize(
    "operation, implementation",
    each(OPERATIONS, lambda operation: operation.primitives),
    ids=lambda value: getattr(value, "name", str(value)),
)
directions = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def assert_within(actual, expected, bound):
    actual = np.asarray(actual).astype(np.asarray(expected).dtype)
    assert actual.shape == expected.shape
    excess = np.abs(actual - expected) - bound
    assert not np.any(np.isnan(actual)), "NaN where there should be none"
    assert np.all(excess <= 0), f"off by {np.max(np.abs(actual - expected)):.3e}, {np.max(excess):.3e} over the bound"


def check_values(operation, implementation, case, dtype, reverse, rng):
    operands = operation.make(case, dtype, rng)
    wide = widened(operands)
    options = {"axis": case.axis % len(case.shape), "reverse": reverse, **dict(case.options)}
    expected = operation.truth(wide, **options)
    options["axis"] = case.axis
    actual = jax.jit(lambda o: operation.call(o, implementation=implementation, **options))(operands)
    assert actual[0].dtype == operands[operation.main].dtype
    assert actual[1].dtype == (jnp.float32 if dtype in OUT_EPS else actual[0].dtype)
    eps = EPS.get(dtype, 2**-24)
    if implementation == "xla":  # a tree of products: no step-by-step bound, a share of the largest value instead
        bounds = [np.full(v.shape, 64 * eps * max(1.0, np.max(np.abs(v), initial=0))) for v in expected]
    else:
        options["axis"] %= len(case.shape)
        bounds = operation.error_bound(wide, eps, **options)
    tiny = 1e-36  # denormals are flushed
    stored = OUT_EPS.get(dtype, 0) * np.abs(expected[0]) + (2**-24 if dtype == "float16" else tiny)
    assert_within(actual[0], expected[0], 1.01 * (bounds[0] + stored))
    assert_within(actual[1], expected[1], 1.01 * bounds[1] + tiny)


def check_gradients(operation, implementation, case, dtype, reverse, rng):
    operands = operation.make(case, dtype, rng)
    flags = {name: operands.pop(name) for name in ("reset",) if name in operands}
    options = {"axis": case.axis, "reverse": reverse, **dict(case.options)}

    def call(operands):
        return operation.call({**operands, **flags}, implementation=implementation, **options)

    cotangents = tuple(random_array(rng, out.shape, str(out.dtype)) for out in jax.eval_shape(call, operands))
    actual = jax.jit(lambda operands, cotangents: jax.vjp(call, operands)[1](cotangents)[0])(operands, cotangents)
    wide = widened(dict(enumerate(cotangents)))
    options["axis"] %= len(case.shape)
    expected = operation.gradients(widened({**operands, **flags}), wide[0], wide[1], **options)
    for name in operands:
        scale = np.max(np.abs(expected[name]))
        assert actual[name].dtype == operands[name].dtype
        bound = GRADIENT_TOLERANCE[dtype] * (1 + scale)
        assert_within(actual[name], np.asarray(expected[name]), np.full(expected[name].shape, bound))


def share(cases, operation, implementation, dtype, reverse):
    """All cases for a native implementation; for another each once, in one of the dtypes and directions, and so for an
    operation that is tried through logarithms, whose programs are slow to compile."""
    if dtype not in operation.dtypes:
        return []
    if implementation in operation.native:
        if operation.bare is None:
            return cases
    elif operation.reference_cases is not None:
        cases = operation.reference_cases
    return cases[2 * operation.dtypes.index(dtype) + reverse :: 2 * len(operation.dtypes)]


@each_operation
@directions
@pytest.mark.parametrize("dtype", REAL + COMPLEX)
def test_values(operation, implementation, reverse, dtype, rng):
    for case in share(operation.cases, operation, implementation, dtype, reverse):
        with _naming(case):
            check_values(operation, implementation, case, dtype, reverse, rng)


@each_operation
@directions
@pytest.mark.parametrize("dtype", REAL + COMPLEX)
def test_gradients(operation, implementation, reverse, dtype, rng):
    for case in share(operation.gradient_cases, operation, implementation, dtype, reverse):
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
def any_case(draw, operation):
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 5, 8, 17, 33]), min_size=rank, max_size=rank)))
    axis = draw(st.integers(-rank, rank - 1))
    gates = [
        (name, tuple(n if draw(st.booleans()) else 1 for n in shape)[draw(st.integers(0, rank)) :])
        for name in operation.gates
    ]
    return Case(
        shape,
        axis,
        gates[0][1],
        h0=draw(st.booleans()),
        reset=draw(st.sampled_from(["", "step", "sequence", "element"])),
        lanes=tuple(gates[1:]),
        **operation.draw_options(draw, rank, axis % rank),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    data=st.data(),
    reverse=st.booleans(),
    dtype=st.sampled_from(["float32", "complex128", "bfloat16"]),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize(
    "operation, implementation",
    # Without those that are tried through logarithms: their lanes are the same engine's, their programs slow to compile.
    each([operation for operation in OPERATIONS if operation.bare is None], lambda operation: operation.primitives),
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_any_shape(operation, implementation, data, reverse, dtype, seed):
    case = data.draw(any_case(operation))
    rng = np.random.default_rng(seed)
    check_values(operation, implementation, case, dtype, reverse, rng)
    if 0 not in case.shape:
        check_gradients(operation, implementation, case, dtype, reverse, rng)


@pytest.mark.parametrize(
    "operation, implementation, reverse",
    [
        (*pair, reverse)
        for pair in each(OPERATIONS, lambda operation: operation.primitives)
        for reverse in (False, True)
        if pair[0] is LINEAR_SCAN or reverse  # the others share an engine, which sums in the order it runs in
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_long_constant_gate_accumulates_in_high_precision(operation, implementation, reverse, rng):
    """A gradient summed over 20,000 steps keeps single precision."""
    case = Case((20_000, 9), 0, (1, 9), h0=False)
    check_gradients(operation, implementation, case, "float32", reverse, rng)


@each_operation
def test_non_finite_values_stay_in_their_lane_and_move_forward_only(operation, implementation, rng):
    """Seen from lanes: a vector is bad where any of its components is, and so is what comes of any of them."""

    def is_bad(value, lanes):
        components = tuple(range(lanes, value.ndim))
        bad = ~np.isfinite(value)
        np.testing.assert_array_equal(bad.any(components), bad.all(components))
        return bad.any(components)

    for axis, shape in ((0, (40, 50)), (1, (6, 40)), (1, (3, 40, 5))):
        lanes, at = range(len(shape)), tuple(10 if d == axis else 2 for d in range(len(shape)))

        @jax.jit
        def run(operands, cotangent):
            out, vjp = jax.vjp(lambda o: operation.call(o, axis=axis, implementation=implementation)[0], operands)
            return out, vjp(cotangent)[0]

        for bad in (np.nan, np.inf):
            operands = operation.make(Case(shape, axis, shape, h0=False), "float32", rng)
            main = operands[operation.main]
            cotangent = random_array(rng, main.shape, "float32")
            main[at] = bad
            out, grads = run(operands, cotangent)
            reached = np.zeros(shape, bool)
            reached[tuple(slice(10, None) if d == axis else 2 for d in lanes)] = True
            np.testing.assert_array_equal(is_bad(out, len(shape)), reached)
            if operation.is_linear:
                assert np.all(np.isfinite(grads[operation.main]))
            else:  # its derivatives are shares of the state, of this one too for earlier operands
                reached[tuple(slice(None) if d == axis else 2 for d in lanes)] = True
            for gate in operation.gates:
                assert np.all(np.isfinite(np.asarray(grads[gate])[~reached]))
            main[at], cotangent[at] = 1, bad
            out, grads = run(operands, cotangent)
            assert np.all(np.isfinite(out))
            reached = np.zeros(shape, bool)
            reached[tuple(slice(0, 11) if d == axis else 2 for d in lanes)] = True
            np.testing.assert_array_equal(is_bad(grads[operation.main], len(shape)), reached)


@each_operation
@pytest.mark.parametrize("flags", ["step", "element"])
def test_reset_keeps_a_nan_in_its_own_sequence(operation, implementation, flags, rng):
    operands = operation.make(Case((20, 40), 0, (20, 40), reset=flags), "float32", rng)
    operands["reset"][:] = False
    operands["reset"][10] = True
    operands[operation.main][4] = np.nan
    out, _ = jax.jit(lambda operands: operation.call(operands, implementation=implementation))(operands)
    np.testing.assert_array_equal(np.isnan(out.reshape(20, -1)).any(1), [4 <= t < 10 for t in range(20)])


@each_operation
def test_same_bits_from_run_to_run(operation, implementation, rng):
    for case in (Case((64, 1000), 0, (1, 1)), Case((16, 40, 96), 1, (96,)), Case((300, 50), 1, (50,))):
        operands = operation.make(case, "float32", rng)

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
    is_native = implementation in operation.native
    run = jax.jit(lambda operands: operation.call(operands, reverse=reverse, implementation=implementation))
    dtypes = ("float32", "complex64", "bfloat16") if is_native else ("complex64",)
    for dtype in [dtype for dtype in dtypes if dtype in operation.dtypes]:
        operands = operation.make(Case((50, 30), 0, (50, 30)), dtype, rng)
        whole, last = run(operands)
        for cut in (1, 23, 49) if is_native else (23,):
            head = {k: v if k == "h0" else v[-cut:] if reverse else v[:cut] for k, v in operands.items()}
            tail = {k: v if k == "h0" else v[:-cut] if reverse else v[cut:] for k, v in operands.items()}
            h1, carry = run(head)
            h2, final = run({**tail, "h0": carry})
            joined = np.concatenate([h2, h1] if reverse else [h1, h2])
            tolerance = 1e-2 if dtype == "bfloat16" else 1e-5
            np.testing.assert_allclose(
                joined.astype("complex64"), np.asarray(whole).astype("complex64"), tolerance, tolerance
            )
            np.testing.assert_allclose(final, last, 1e-5, 1e-5)
            if is_native and operation.bare is None:
                assert joined.tobytes() == np.asarray(whole).tobytes(), "the carry is exact"


def test_more_than_two_to_the_31_elements():
    """A step times the lanes, and the lane added, needs more than 32 bits."""
    steps, lanes = 2**8, 2**23 + 64
    a, x = jnp.full((1, lanes), 0.5, jnp.bfloat16), jnp.ones((steps, 1), jnp.bfloat16)
    h = np.asarray(LINEAR_SCAN.call({"a": a, "x": x}, implementation="cpu")[0])
    assert h.shape == (steps, lanes)
    for t in (0, 1, 2, steps // 2 - 1, steps // 2, steps - 2, steps - 1):
        assert np.all(h[t] == jnp.bfloat16(2 - 2.0**-t)), t
