"""spectral_scan's public face: what it accepts, what it refuses, and what its messages say."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cssm_kernels
from cssm_kernels import irfft2_cl, linear_scan, rfft2_cl, spectral_scan
from tests.matrix.cases import random_array
from tests.spectral_scan.cases import ON_CPU, Case, call, make_operands

X = np.ones((2, 3, 6, 5, 4), np.float32)
K = np.ones((6, 3, 4), np.complex64)
FLAGS = np.ones(3, bool)

REFUSED = [
    (TypeError, r"x has dtype int32; expected one of float32, float64, bfloat16", dict(x=X.astype(np.int32))),
    (TypeError, r"x has dtype complex64; expected one of float32", dict(x=X.astype(np.complex64))),
    (TypeError, r"x has dtype bool; expected one of float32", dict(x=X > 0)),
    (TypeError, r"x is a str; expected an array", dict(x="frames")),
    (TypeError, r"k_hat has dtype float32; expected one of complex64", dict(k_hat=K.real)),
    (TypeError, r"k_hat has dtype complex128; expected complex64, the precision of x", dict(k_hat=K.astype(complex))),
    (TypeError, r"k_hat is a NoneType; expected an array", dict(k_hat=None)),
    (TypeError, r"h0 has dtype float32; expected one of complex64", dict(h0=K.real)),
    (TypeError, r"h0 has dtype complex128; expected complex64, the precision of x", dict(h0=K.astype(complex))),
    (TypeError, r"reset has dtype float32; expected one of bool", dict(reset=np.ones(3, np.float32))),
    (TypeError, r"reset has dtype int32; expected one of bool", dict(reset=np.ones(3, np.int32))),
    (TypeError, r"reverse is 1; expected a bool", dict(reverse=1)),
    (TypeError, r"return_final is 'yes'; expected a bool", dict(return_final="yes")),
    (TypeError, r"last_only is None; expected a bool", dict(last_only=None)),
    (ValueError, r"x has shape \(6, 5, 4\); expected \(..., T, H, W, C\)", dict(x=X[0, 0])),
    (ValueError, r"x has shape \(2, 3, 0, 5, 4\); expected .* H and W at least 1", dict(x=X[:, :, :0])),
    (ValueError, r"x has shape \(2, 3, 6, 0, 4\); expected .* H and W at least 1", dict(x=X[:, :, :, :0])),
    (
        ValueError,
        r"k_hat has shape \(6, 5, 4\); expected \(..., 6, 3, 4\) for the frames of x, \(2, 3, 6, 5, 4\)",
        dict(k_hat=np.ones((6, 5, 4), np.complex64)),
    ),
    (ValueError, r"k_hat has shape \(6, 3, 1\); expected \(..., 6, 3, 4\)", dict(k_hat=K[..., :1])),
    (ValueError, r"k_hat has shape \(3, 4\); expected \(..., 6, 3, 4\)", dict(k_hat=K[0])),
    (
        ValueError,
        r"k_hat has the leading dimensions \(3,\), which do not broadcast with those of x, \(2,\)",
        dict(k_hat=np.stack([K] * 3)),
    ),
    (ValueError, r"h0 has shape \(6, 3, 1\); expected one that broadcasts to \(2, 6, 3, 4\)", dict(h0=K[..., :1])),
    (ValueError, r"h0 has shape \(3, 6, 3, 4\); expected one that", dict(h0=np.stack([K] * 3))),
    (ValueError, r"h0 has shape \(1, 1, 6, 3, 4\); expected one that", dict(h0=K[None, None])),
    (ValueError, r"h0 has shape \(\); expected one that", dict(h0=np.complex64(1))),
    (
        ValueError,
        r"reset has shape \(2,\); expected \(3,\), one flag a step, or one that broadcasts to \(2, 3\)",
        dict(reset=FLAGS[:2]),
    ),
    (ValueError, r"reset has shape \(1,\); expected \(3,\)", dict(reset=FLAGS[:1])),
    (ValueError, r"reset has shape \(\); expected \(3,\)", dict(reset=np.bool_(True))),
    (ValueError, r"reset has shape \(3, 3\); expected \(3,\)", dict(reset=np.stack([FLAGS] * 3))),
    (ValueError, r"x has shape \(2, 0, 6, 5, 4\), no steps; expected at", dict(x=X[:, :0], last_only=True)),
    (ValueError, r"implementation is 'rocm'; expected None .* 'cpu'", dict(implementation="rocm")),
    (ValueError, r"implementation is 3; expected None", dict(implementation=3)),
]


@pytest.mark.parametrize("error, message, given", REFUSED, ids=[message[:40] for _, message, _ in REFUSED])
@pytest.mark.parametrize("under_jit", [False, True], ids=["eager", "jit"])
def test_refuses(error, message, given, under_jit):
    arguments = {"x": X, "k_hat": K, **given}
    arrays = {k: v for k, v in arguments.items() if isinstance(v, (np.ndarray, np.generic))}
    rest = {k: v for k, v in arguments.items() if k not in arrays}
    run = lambda arrays: spectral_scan(**arrays, **rest)
    with pytest.raises(error, match=message):
        (jax.jit(run) if under_jit else run)(arrays)


def test_a_narrower_transition_is_widened_exactly():
    y, final = spectral_scan(X.astype(float), K / 2, K, return_final=True)
    assert (y.dtype, final.dtype) == ("float64", "complex128")
    np.testing.assert_array_equal(y, spectral_scan(X.astype(float), (K / 2).astype(complex), K.astype(complex)))


def test_returns_what_was_asked_for():
    assert spectral_scan(X, K).shape == X.shape
    assert spectral_scan(X, K, last_only=True).shape == (2, 6, 5, 4)
    y, final = spectral_scan(X, K, return_final=True)
    assert (y.shape, final.shape) == (X.shape, (2, 6, 3, 4))
    y, final = spectral_scan(X, K, return_final=True, last_only=True)
    assert (y.shape, final.shape) == ((2, 6, 5, 4), (2, 6, 3, 4))


def test_half_precision_carries_a_complex64_state():
    """A step of 2^-9 is lost to bfloat16 beside 1, and kept by the state."""
    x = jnp.full((512, 1, 1, 1), 2.0**-9, jnp.bfloat16)
    y, final = spectral_scan(x, jnp.ones((1, 1, 1), "complex64"), jnp.ones((1, 1, 1), "complex64"), return_final=True)
    assert (y.dtype, final.dtype) == ("bfloat16", "complex64")
    assert float(y[-1, 0, 0, 0]) == 2.0
    assert complex(final[0, 0, 0]) == 2.0


@pytest.mark.parametrize("implementation", [None, "cpu", "xla", "sequential"])
@pytest.mark.parametrize("h0", [None, 2 * K])
def test_no_steps_return_the_initial_state(implementation, h0):
    y, final = spectral_scan(X[:, :0], K, h0, return_final=True, implementation=implementation)
    assert y.shape == (2, 0, 6, 5, 4)
    np.testing.assert_array_equal(final, np.broadcast_to(0 if h0 is None else h0, (2, *K.shape)))


def test_is_the_composition_of_its_parts(rng):
    """The public transforms and linear_scan, as its documentation has it."""
    o = make_operands(Case((2,), 9, (6, 5, 4), h0=(2,), reset=(2,)), "float64", rng)
    h0, flags = o["h0"], o["reset"]
    states, last = linear_scan(o["k_hat"], rfft2_cl(o["x"]), h0, axis=1, reset=flags, return_final=True)
    y, final = call(o)
    np.testing.assert_allclose(y, irfft2_cl(states, 5), 1e-10, 1e-11)
    np.testing.assert_allclose(final, last, 1e-10, 1e-11)


def test_many_concurrent_calls(rng):
    """XLA's pool is shared by all calls: one that waited for tasks not yet started would hang here."""
    x = random_array(rng, (9, 24, 24, 40), "float32")
    k_hat = random_array(rng, (24, 13, 40), "complex64") * 0.2
    run = jax.jit(lambda x, s: jax.value_and_grad(lambda x: jnp.sum(spectral_scan(x, k_hat * s) ** 2))(x))
    scales = np.linspace(0.1, 0.9, 8, dtype=np.float32)
    expected = [np.asarray(run(x, s)[1]) for s in scales]
    with ThreadPoolExecutor(16) as pool:
        results = pool.map(lambda i: np.asarray(run(x, scales[i % 8])[1]), range(200))
        for i, gradient in enumerate(results):
            np.testing.assert_array_equal(gradient, expected[i % 8])


FIRST_CALL = """
import numpy as np, cssm_kernels
print(cssm_kernels.spectral_scan(np.ones((2, 4, 4, 1), np.float32), np.zeros((4, 3, 1), np.complex64), implementation="{}"))
"""


@pytest.mark.parametrize("implementation", ON_CPU)
def test_each_implementation_may_be_the_first_call_of_a_process(implementation):
    """It loads what it needs itself."""
    command = [sys.executable, "-c", FIRST_CALL.format(implementation)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SAME_ON_EVERY_ISA = """
import jax, numpy as np, cssm_kernels
rng = np.random.default_rng(0)
x = rng.normal(size=(9, 11, 14, 21)).astype(np.float32)
k = (rng.normal(size=(11, 8, 21)) * 0.3 + 0.2j).astype(np.complex64)
run = lambda x, k: cssm_kernels.spectral_scan(x, k).sum() ** 2 + abs(cssm_kernels.rfft2_cl(x)).sum()
dx, dk = jax.grad(run, (0, 1))(x, k)
print(cssm_kernels.build_info()["isa"], *(float(np.abs(v).sum(dtype=np.float64)) for v in (run(x, k), dx, dk)))
"""


def test_lesser_instruction_sets_agree():
    """Each has vectors of another width, and so another last block of channels."""
    import os

    here = cssm_kernels.build_info()["isa"]
    sets = ["baseline", "avx2", "avx512"]
    results = {}
    for isa in sets[: sets.index(here) + 1]:
        environment = {**os.environ, "CSSM_KERNELS_ISA": isa}
        command = [sys.executable, "-c", SAME_ON_EVERY_ISA]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        name, *values = done.stdout.split()
        assert name == isa
        results[isa] = [float(value) for value in values]
    for isa in results:
        np.testing.assert_allclose(results[isa], results["baseline"], 1e-5)
