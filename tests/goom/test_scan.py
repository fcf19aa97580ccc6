"""goom_scan and goom_matrix_scan: what the shared matrix does not ask, and the associative scans, which it leaves out."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cssm_kernels
from cssm_kernels import Goom
from tests.compiled import compiled

goom_scan, goom_matrix_scan = map(compiled, (cssm_kernels.goom_scan, cssm_kernels.goom_matrix_scan))

IMPLEMENTATIONS = ["cpu", "xla", "sequential"]
RTOL = {np.complex64: 2e-5, np.complex128: 1e-12}


def numbers(rng, dtype, *shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def truth(a, x, h0=None, reset=None, reverse=False):
    """Vectors (T, ..., k) under matrices (T, ..., k, k); numbers have k = 1."""
    h = np.zeros_like(x[0]) if h0 is None else h0
    out = np.empty_like(x)
    for t in range(len(x))[:: -1 if reverse else 1]:
        h = x[t] + (0 if reset is not None and reset[t] else np.einsum("...ij,...j->...i", a[t], h))
        out[t] = h
    return out


def logs(z):
    with np.errstate(divide="ignore"):
        return np.log(z)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_values(rng, dtype):
    a, x, h0 = numbers(rng, dtype, 13, 5), numbers(rng, dtype, 13, 5), numbers(rng, dtype, 5)
    got, final = goom_scan(logs(a), logs(x), logs(h0), return_final=True, implementation="xla")
    want = truth(a[..., None, None], x[..., None], h0[..., None])[..., 0]
    assert got.dtype == final.dtype == dtype
    np.testing.assert_allclose(np.exp(got), want, rtol=RTOL[dtype], atol=RTOL[dtype])
    np.testing.assert_array_equal(final, got[-1])


def test_matrix_values(rng):
    a, x, h0 = (numbers(rng, np.complex128, *s) for s in ((9, 4, 3, 3), (9, 4, 3), (4, 3)))
    a[3] = 0
    a[5, :, 0] = 0
    got, final = goom_matrix_scan(logs(a), logs(x), logs(h0), return_final=True, implementation="xla")
    np.testing.assert_allclose(np.exp(got), truth(a, x, h0), rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(final, got[-1])


@pytest.mark.parametrize("reverse, axis", [(False, -1), (True, 0)])
def test_options(rng, reverse, axis):
    """The same as time first, whatever the axis; reverse, reset and broadcast operands with it."""
    a, x, h0 = (numbers(rng, np.complex128, *s) for s in ((7, 1), (7, 4), (4,)))
    reset = np.array([0, 0, 1, 0, 0, 1, 0], bool)
    want = truth(a[..., None, None], x[..., None], h0[..., None], reset, reverse)[..., 0]
    options = dict(axis=axis, reverse=reverse, reset=reset, return_final=True, implementation="xla")
    turn = (lambda v: v) if axis == 0 else np.transpose
    got, final = goom_scan(logs(turn(a)), logs(turn(x)), logs(h0), **options)
    np.testing.assert_allclose(np.exp(got), turn(want), rtol=1e-12)
    np.testing.assert_allclose(np.exp(final), want[0 if reverse else -1], rtol=1e-12)
    matrices = logs(turn(a)[..., None, None]), logs(turn(x)[..., None]), logs(h0[..., None])
    got, final = goom_matrix_scan(*matrices, **options)
    np.testing.assert_allclose(np.exp(got[..., 0]), turn(want), rtol=1e-12)


def test_broadcasting(rng):
    a, x = numbers(rng, np.complex128, 3, 1, 5), numbers(rng, np.complex128, 6, 1)
    full = np.broadcast_arrays(a, x)
    want = truth(np.moveaxis(full[0], 1, 0)[..., None, None], np.moveaxis(full[1], 1, 0)[..., None])[..., 0]
    got = goom_scan(logs(a), logs(x), axis=1, implementation="xla")
    np.testing.assert_allclose(np.exp(got), np.moveaxis(want, 0, 1), rtol=1e-12)
    a, x = numbers(rng, np.complex128, 2, 2), numbers(rng, np.complex128, 6, 3, 2)
    got = goom_matrix_scan(logs(a), logs(x), implementation="xla")
    np.testing.assert_allclose(np.exp(got), truth(np.broadcast_to(a, (6, 3, 2, 2)), x), rtol=1e-12)


@pytest.mark.parametrize("implementation", ["cpu", "compat"])
def test_no_steps(rng, implementation):
    options = dict(compat=True) if implementation == "compat" else dict(implementation=implementation)
    empty, h0 = np.zeros((0, 3), np.complex64), numbers(rng, np.complex64, 3)
    log_h, final = goom_scan(empty, empty, h0, return_final=True, **options)
    assert log_h.shape == (0, 3)
    np.testing.assert_array_equal(final, h0)
    np.testing.assert_array_equal(goom_scan(empty, empty, return_final=True, **options)[1].real, [-np.inf] * 3)
    log_h, final = goom_matrix_scan(
        empty[..., None, None], empty[..., None], h0[..., None], return_final=True, **options
    )
    assert log_h.shape == (0, 3, 1)
    np.testing.assert_array_equal(final, h0[..., None])


@pytest.mark.parametrize("options", [{}, {"compat": True}])
def test_goom_in_goom_out(rng, options):
    a, x, h0 = (Goom.from_array(numbers(rng, np.complex64, *s)) for s in ((4, 3), (4, 3), (3,)))
    h, final = goom_scan(a, x, h0, return_final=True, **options)
    log_h, log_final = goom_scan(a.log, x.log, h0.log, return_final=True, **options)
    assert isinstance(h, Goom)
    assert isinstance(final, Goom)
    np.testing.assert_array_equal(h.log, log_h)
    np.testing.assert_array_equal(final.log, log_final)
    assert isinstance(goom_scan(a, x.log, **options), jax.Array)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_real_logarithms_are_those_of_positive_numbers(rng, implementation):
    """And have real gradients."""
    a, x, ct = rng.uniform(0.5, 2, (5, 3)), numbers(rng, np.complex128, 5, 3), numbers(rng, np.complex128, 5, 3)

    def run(log_a):
        log_h, vjp = jax.vjp(lambda log_a: cssm_kernels.goom_scan(log_a, logs(x), implementation=implementation), log_a)
        return log_h, vjp(ct)[0]

    (got, da), (want, da_complex) = (jax.jit(run)(np.log(a.astype(dtype))) for dtype in (float, complex))
    assert da.dtype == np.float64
    np.testing.assert_allclose(got, want, 1e-13)
    np.testing.assert_allclose(da, da_complex.real, 1e-11)


@pytest.mark.parametrize("kind", ["numbers", "vectors"])
def test_sequential_under_shard_map(rng, kind):
    """The state before the first step, which varies over no device, is of the next one's type."""
    op, own = (cssm_kernels.goom_scan, ()) if kind == "numbers" else (cssm_kernels.goom_matrix_scan, (2,))
    log_a, log_x = logs(numbers(rng, np.complex128, 3, 4, *own, *own)), logs(numbers(rng, np.complex128, 3, 4, *own))
    mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec(None, "d")
    run = lambda a, x: op(a, x, implementation="sequential")
    sharded = jax.shard_map(run, mesh=mesh, in_specs=spec, out_specs=spec)
    np.testing.assert_allclose(jax.jit(sharded)(log_a, log_x), jax.jit(run)(log_a, log_x), 1e-13)


def magnitudes(a, x):
    """log|h_t| and arg h_t of the recurrence of a few numbers, in Python's floats with exponents of their own."""
    h, exponent, logarithms, phases = 0j, 0, [], []
    for a_t, x_t in zip(a, x):
        h = a_t * h + (x_t * math.ldexp(1.0, -exponent) if x_t and exponent < 900 else 0)
        if h:
            shift = math.frexp(abs(h))[1]
            h, exponent = h * math.ldexp(1.0, -shift), exponent + shift
        logarithms.append(math.log(abs(h)) + exponent * math.log(2) if h else -math.inf)
        phases.append(math.atan2(h.imag, h.real))
    return np.array(logarithms), np.array(phases)


@pytest.mark.parametrize(
    "implementation, dtype, steps",
    [
        ("cpu", np.complex64, 10_000),
        ("cpu", np.complex128, 10_000),
        ("sequential", np.complex64, 10_000),
        ("xla", np.complex64, 300),  # takes long to compile
    ],
)
def test_many_steps(rng, implementation, dtype, steps):
    """Of magnitude 1e3, and of 1e-3: to the last place of the logarithms, and the rounding of as many products."""
    magnitude = np.array([1e3, 1e-3])
    a = magnitude * np.exp(0.1 * rng.normal(size=(steps, 2)) + 1j * rng.uniform(-3, 3, (steps, 2)))
    x = np.zeros((steps, 2), complex)
    x[0] = 2 - 1j
    log_a, log_x = logs(a).astype(dtype), logs(x).astype(dtype)
    got = np.asarray(goom_scan(log_a, log_x, implementation=implementation))
    eps = np.finfo(dtype).eps
    for lane in range(2):
        want, phase = magnitudes(np.exp(log_a[:, lane].astype(complex)), x[:, lane])
        assert abs(want[-1]) > 6.8 * steps
        rounding = 2 * eps * np.sqrt(steps)
        assert np.all(np.abs(got.real[:, lane] - want) <= np.spacing(np.abs(want).astype(eps.dtype)) + rounding)
        assert np.abs(np.exp(1j * got.imag[:, lane]) - np.exp(1j * phase)).max() <= 10 * rounding


def test_ten_thousand_steps_with_inputs(rng):
    steps = 10_000
    a = np.exp(np.repeat(rng.normal(size=10) * 5, 1000) + 1j * rng.uniform(-3, 3, steps))
    x = numbers(rng, np.complex128, steps)
    want, phase = magnitudes(a, x)
    got = np.asarray(goom_scan(logs(a), logs(x)))
    np.testing.assert_allclose(got.real, want, rtol=1e-13, atol=1e-11)
    np.testing.assert_allclose(np.exp(1j * got.imag), np.exp(1j * phase), atol=1e-11)


def test_each_component_has_its_own_range():
    """Two channels, of 1e3 and 1e-3 a step, in one matrix."""
    log_a = np.array([[math.log(1e3), -np.inf], [-np.inf, math.log(1e-3)]], np.complex64)
    log_x = np.full((30, 2), -np.inf, np.complex64)
    log_x[0] = 0
    for implementation in IMPLEMENTATIONS:
        got = goom_matrix_scan(log_a, log_x, implementation=implementation)
        np.testing.assert_allclose(got[-1].real, [29 * math.log(1e3), -29 * math.log(1e3)], rtol=1e-6)
        assert not np.asarray(got).imag.any()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_zeros(implementation):
    """Of signed real numbers: real states, exactly 0 where they cancel, and going on from there."""
    a = np.array([5.0, -2.0, 0.0, 3.0, 7.0, 1.0], np.float32)
    x = np.array([0.0, 1.5, -0.5, 1.5, 4.0, -4.0], np.float32)
    h = Goom.from_array(x)
    got = goom_scan(Goom.from_array(a), h, implementation=implementation)
    want = truth(a[:, None, None], x[:, None])[:, 0]
    np.testing.assert_array_equal(want, [0, 1.5, -0.5, 0, 4, 0])
    np.testing.assert_allclose(got.to_array(), want, rtol=1e-6)
    np.testing.assert_array_equal(got.log_magnitude == -np.inf, want == 0)
    assert not got.to_array().imag.any()


def test_numbers_that_are_none_stay_in_their_lane_and_move_forward(rng):
    log_a, log_x = numbers(rng, np.complex64, 6, 4), numbers(rng, np.complex64, 6, 4)
    clean = np.asarray(goom_scan(log_a, log_x, implementation="xla"))
    log_x[2, 1], log_x[3, 2] = np.nan, np.inf
    got = np.asarray(goom_scan(log_a, log_x, implementation="xla"))
    np.testing.assert_array_equal(got[:, [0, 3]], clean[:, [0, 3]])
    np.testing.assert_array_equal(got[:2, 1], clean[:2, 1])
    np.testing.assert_array_equal(got[:3, 2], clean[:3, 2])
    assert np.isnan(got[2:, 1]).all()
    assert (got[3:, 2].real == np.inf).all()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("log_zero", [-1e4, -1e8, np.finfo(np.float32).min])
def test_finite_logarithms_of_zero(implementation, log_zero):
    log_a = np.full((40, 2), log_zero, np.complex64)
    log_x = np.zeros((40, 2), np.complex64)
    log_x[1:, 0] = log_zero
    got = goom_scan(log_a, log_x, implementation=implementation)
    assert (got[1:, 0].real < -9e3).all()
    np.testing.assert_array_equal(got[:, 1], np.zeros(40))


ERRORS = [
    (dict(log_x=np.zeros((5, 3), np.float32)), TypeError, "log_x has dtype float32; expected one of complex64"),
    (dict(log_x="logs"), TypeError, "log_x is a str"),
    (dict(log_a=np.zeros((5, 3), np.complex128)), TypeError, "log_a has dtype complex128; expected complex64"),
    (dict(log_a=np.zeros((4, 3), np.complex64)), ValueError, r"log_a has shape \(4, 3\), which does not broadcast"),
    (
        dict(log_h0=np.zeros(4, np.complex64)),
        ValueError,
        r"log_h0 has shape \(4,\); expected one that broadcasts to \(3,\)",
    ),
    (dict(log_h0=np.zeros(3, np.complex128)), TypeError, "log_h0 has dtype complex128"),
    (dict(axis=2), ValueError, "axis is 2, out of range"),
    (dict(axis="time"), TypeError, "axis is 'time'; expected an int"),
    (dict(reset=np.zeros(5)), TypeError, "reset has dtype float64; expected bool"),
    (dict(reset=np.zeros(4, bool)), ValueError, r"reset has shape \(4,\)"),
    (dict(reverse=1), TypeError, "reverse is 1; expected a bool"),
    (dict(return_final=None), TypeError, "return_final is None; expected a bool"),
    (dict(compat="yes"), TypeError, "compat is 'yes'; expected a bool"),
    (dict(implementation="cuda"), ValueError, "implementation is 'cuda'; expected None"),
    (dict(implementation="sequential", compat=True), ValueError, "implementation is 'sequential', but compat is True"),
]


@pytest.mark.parametrize("changes, error, message", ERRORS)
def test_errors(changes, error, message):
    operands = dict(log_a=np.zeros((5, 3), np.complex64), log_x=np.zeros((5, 3), np.complex64))
    with pytest.raises(error, match=message):
        cssm_kernels.goom_scan(**(operands | changes))


@pytest.mark.parametrize(
    "log_a, log_x, message",
    [
        ((5, 2, 3), (5, 2), r"log_a has shape \(5, 2, 3\); expected \(..., 2, 2\)"),
        ((2,), (5, 2), r"log_a has shape \(2,\); expected \(..., 2, 2\)"),
        ((5, 17, 17), (5, 17), r"log_x has shape \(5, 17\); expected \(..., k\)"),
        ((5, 0, 0), (5, 0), r"log_x has shape \(5, 0\); expected \(..., k\)"),
        ((4, 2, 2), (5, 2), r"log_a has leading dimensions \(4,\), which do not broadcast"),
        ((2, 2), (2,), r"axis is 0, out of range for the shape \(\)"),
    ],
)
def test_errors_of_matrices(log_a, log_x, message):
    with pytest.raises(ValueError, match=message):
        cssm_kernels.goom_matrix_scan(jnp.zeros(log_a, np.complex64), jnp.zeros(log_x, np.complex64))
