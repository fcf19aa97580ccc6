"""linear_scan's public face: what it accepts, what it refuses, and the forms its arguments may take."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cssm_kernels
from cssm_kernels import linear_scan
from tests import refusal

X = np.ones((5, 3), np.float32)

REFUSED = [
    (TypeError, r"x has dtype int32; expected one of float32", dict(a=X, x=np.ones((5, 3), np.int32))),
    (TypeError, r"x has dtype bool", dict(a=X, x=X > 0)),
    (TypeError, r"a has dtype int32; expected float32 \(x's dtype\)", dict(a=np.ones((5, 3), np.int32), x=X)),
    (TypeError, r"a has dtype complex64; expected float32", dict(a=X.astype(np.complex64), x=X)),
    (TypeError, r"a has dtype float64; expected float32", dict(a=X.astype(np.float64), x=X)),
    (TypeError, r"a has dtype float32; expected bfloat16", dict(a=X, x=X.astype(jnp.bfloat16))),
    (TypeError, r"x is a str; expected an array", dict(a=X, x="frames")),
    (TypeError, r"a is a NoneType", dict(a=None, x=X)),
    (TypeError, r"h0 has dtype float64; expected float32 \(the dtype of the state\)", dict(a=X, x=X, h0=np.ones(3))),
    (TypeError, r"reset has dtype float32; expected bool", dict(a=X, x=X, reset=np.ones(5, np.float32))),
    (TypeError, r"axis is 0.5; expected an int", dict(a=X, x=X, axis=0.5)),
    (TypeError, r"reverse is 1; expected a bool", dict(a=X, x=X, reverse=1)),
    (TypeError, r"return_final is 'yes'; expected a bool", dict(a=X, x=X, return_final="yes")),
    (ValueError, r"a has shape \(4, 3\), which does not broadcast with the shape \(5, 3\) of x", dict(a=X[:4], x=X)),
    (ValueError, r"axis is 2, out of range for the shape \(5, 3\)", dict(a=X, x=X, axis=2)),
    (ValueError, r"axis is -3, out of range", dict(a=X, x=X, axis=-3)),
    (ValueError, r"axis is 0, out of range for the shape \(\)", dict(a=np.float32(1), x=np.float32(1))),
    (
        ValueError,
        r"h0 has shape \(4,\); expected one that broadcasts to \(3,\)",
        dict(a=X, x=X, h0=np.ones(4, np.float32)),
    ),
    (ValueError, r"h0 has shape \(5, 3\); expected", dict(a=X, x=X, h0=X)),
    (ValueError, r"reset has shape \(4,\); expected \(5,\)", dict(a=X, x=X, reset=np.ones(4, bool))),
    (ValueError, r"reset has shape \(5, 2\)", dict(a=X, x=X, reset=np.ones((5, 2), bool))),
    (ValueError, r"implementation is 'cuda'; expected None", dict(a=X, x=X, implementation="cuda")),
    (ValueError, r"implementation is 3; expected None", dict(a=X, x=X, implementation=3)),
]


@refusal.each_refusal(REFUSED)
def test_refuses(refused, under_jit):
    refusal.check(linear_scan, refused, under_jit)


def test_python_numbers_take_the_dtype_of_x():
    for dtype in (jnp.bfloat16, jnp.float32, jnp.complex64):
        x = jnp.ones((4, 2), dtype)
        h, final = linear_scan(0.5, x, 2.0, return_final=True)
        assert h.dtype == dtype
        np.testing.assert_allclose(np.asarray(h[:, 0]).astype(np.complex64), [2, 2, 2, 2])
        assert final.shape == (2,)


def test_a_narrower_transition_is_widened_exactly():
    x = np.ones((4, 2), np.complex64) * 1j
    a = np.full((4, 1), 0.5, np.float32)
    h = linear_scan(a, x)
    assert h.dtype == np.complex64
    np.testing.assert_allclose(h[:, 0], 1j * np.array([1, 1.5, 1.75, 1.875]))


def test_half_precision_carries_a_float32_state():
    """1 + 2^-9 is lost to bfloat16 at every step, and kept by the state."""
    x = jnp.full((512, 1), 2.0**-9, jnp.bfloat16)
    h, final = linear_scan(1.0, x, 1.0, return_final=True)
    assert h.dtype == jnp.bfloat16
    assert final.dtype == jnp.float32
    assert float(final[0]) == 2.0
    assert float(h[-1, 0]) == 2.0


@pytest.mark.parametrize("implementation", ["cpu", "xla", "sequential"])
def test_forms_of_reset(implementation, rng):
    x = rng.normal(size=(2, 6, 3)).astype(np.float32)
    flags = np.array([0, 0, 1, 0, 1, 0], bool)
    full = np.broadcast_to(flags[None, :, None], x.shape)
    expected = linear_scan(0.5, x, axis=1, reset=full, implementation=implementation)
    for reset in (flags, flags[None, :, None], np.stack([flags, flags]), full.tolist()):
        np.testing.assert_allclose(linear_scan(0.5, x, axis=1, reset=reset, implementation=implementation), expected)
    by_hand = np.concatenate([linear_scan(0.5, x[:, i:j], axis=1) for i, j in ((0, 2), (2, 4), (4, 6))], 1)
    np.testing.assert_allclose(expected, by_hand, 1e-6)


@pytest.mark.parametrize("implementation", [None, "cpu", "xla", "sequential"])
def test_no_steps_returns_the_initial_state(implementation):
    x = jnp.ones((2, 0, 3))
    h, final = linear_scan(0.5, x, jnp.arange(3.0), axis=1, return_final=True, implementation=implementation)
    assert h.shape == (2, 0, 3)
    np.testing.assert_array_equal(final, [[0, 1, 2]] * 2)
    grad = jax.grad(lambda h0: jnp.sum(linear_scan(0.5, x, h0, axis=1, return_final=True)[1]))(jnp.arange(3.0))
    np.testing.assert_array_equal(grad, [2, 2, 2])


def test_x_broadcasts_against_a():
    a = np.full((3, 4, 2), 0.5, np.float32)
    x = np.arange(2, dtype=np.float32)
    for implementation in ("cpu", "xla", "sequential"):
        h = linear_scan(a, x, axis=1, implementation=implementation)
        assert h.shape == (3, 4, 2)
        np.testing.assert_allclose(h[1, :, 1], [1, 1.5, 1.75, 1.875])
        grads = jax.grad(lambda a, x: jnp.sum(linear_scan(a, x, axis=1, implementation=implementation)), (0, 1))(a, x)
        assert [g.shape for g in grads] == [a.shape, x.shape]
        np.testing.assert_allclose(grads[1], [3 * 6.125] * 2)


def test_build_info_names_the_instruction_set():
    info = cssm_kernels.build_info()
    assert info["isa"] in ("avx512", "avx2", "baseline")
    assert set(info) == {"isa", "compiler", "build_type", "xla_ffi_api"}


SAME_ON_EVERY_ISA = """
import numpy as np, cssm_kernels
rng = np.random.default_rng(0)
a, x = (rng.normal(size=(2, 37, 53)).astype(np.float32).view(np.float32) * 0.5 for _ in range(2))
h = cssm_kernels.linear_scan(a, x, axis=1)
print(cssm_kernels.build_info()["isa"], float(np.abs(h).sum(dtype=np.float64)))
"""


def _run(isa, code=SAME_ON_EVERY_ISA):
    import os

    environment = {**os.environ, "CSSM_KERNELS_ISA": isa}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_lesser_instruction_sets_agree():
    here = cssm_kernels.build_info()["isa"]
    sets = ["baseline", "avx2", "avx512"]
    results = {}
    for isa in sets[: sets.index(here) + 1]:
        done = _run(isa)
        assert done.returncode == 0, done.stderr
        name, value = done.stdout.split()
        assert name == isa
        results[isa] = float(value)
    np.testing.assert_allclose(list(results.values()), results["baseline"], 1e-6)


def test_an_unknown_instruction_set_is_refused():
    done = _run("avx9000")
    assert done.returncode != 0
    assert 'CSSM_KERNELS_ISA is "avx9000"' in done.stderr


def test_a_thousand_concurrent_calls(rng):
    """XLA's pool is shared by all calls: one that waited for tasks not yet started would hang here."""
    from concurrent.futures import ThreadPoolExecutor

    x = rng.normal(size=(64, 2048)).astype(np.float32)
    run = jax.jit(lambda x, s: linear_scan(s, x))
    scales = np.linspace(0.1, 0.9, 8, dtype=np.float32)
    expected = [np.asarray(run(x, s)) for s in scales]
    with ThreadPoolExecutor(32) as pool:
        results = pool.map(lambda i: np.asarray(run(x, scales[i % 8])), range(1000))
        for i, h in enumerate(results):
            np.testing.assert_array_equal(h, expected[i % 8])


@pytest.mark.parametrize("implementation", ["cpu", "xla", "sequential"])
def test_linear_transpose_of_broadcast_operands(implementation, rng):
    """The transpose sums over what was broadcast."""
    a, x, h0 = rng.normal(size=(7, 5, 3)), rng.normal(size=(7, 1, 3)), rng.normal(size=(1, 3))
    ct = rng.normal(size=(7, 5, 3))

    def run(x, h0):
        return linear_scan(a, x, h0, implementation=implementation)

    of_x, of_h0 = jax.linear_transpose(run, x, h0)(ct)
    dx, dh0 = jax.vjp(run, x, h0)[1](ct)
    np.testing.assert_allclose(of_x, dx, rtol=1e-12)
    np.testing.assert_allclose(of_h0, dh0, rtol=1e-12)
