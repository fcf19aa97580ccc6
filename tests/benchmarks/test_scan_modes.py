"""The published scan modes compute the recurrence."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.scan_modes import __main__ as suite
from benchmarks.scan_modes import scalar, split, triangular


def sequence(A, x, initial=0.0):
    """The recurrence in complex double, over axis 1."""
    A, x = np.broadcast_arrays(np.asarray(A, np.complex128), np.asarray(x, np.complex128))
    h, out = initial, np.empty_like(x)
    for t in range(x.shape[1]):
        out[:, t] = h = A[:, t] * h + x[:, t]
    return out


MODES = {
    "associative": (scalar.associative, 1e-5),
    "quadratic": (scalar.quadratic, 1e-5),
    "ssd": (functools.partial(scalar.ssd, chunk=4), 1e-5),
    "chunked quadratic": (functools.partial(scalar.chunked_quadratic, chunk=4), 1e-5),
    "chunked quadratic, one chunk": (functools.partial(scalar.chunked_quadratic, chunk=12), 1e-5),
    "split bf16": (split.split, 3e-2),
    "split fp8": (functools.partial(split.split, dtype=jnp.float8_e4m3fn), 0.3),
    "phase split": (split.phase_split, 0.1),
}


@pytest.mark.parametrize("mode, tolerance", MODES.values(), ids=MODES)
def test_scalar_mode(mode, tolerance):
    A, x = suite.operands((2, 12, 3, 4), None)
    expected = sequence(A, x)
    error = np.abs(jax.jit(mode)(A, x) - expected).max() / np.abs(expected).max()
    assert error <= tolerance


def test_ssd_goes_on_from_an_initial_state(rng):
    A, x = suite.operands((2, 8, 3), None)
    initial = rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3))
    np.testing.assert_allclose(scalar.ssd(A, x, 4, jnp.asarray(initial)), sequence(A, x, initial), 1e-5, 1e-5)


def test_ssd_refuses_a_part_of_a_chunk():
    with pytest.raises(ValueError, match="x has 7 steps; expected a multiple of chunk, 4"):
        scalar.ssd(jnp.ones((1, 7)), jnp.ones((1, 7)), 4)


@pytest.mark.parametrize("name", suite.triangular_modes(4))
def test_three_states_in_a_chain(name):
    d, w, x = suite.operands((2, 8, 3), 3)
    q = sequence(d[..., 0], x[..., 0])
    late = lambda h: np.concatenate([np.zeros_like(h[:, :1]), h[:, :-1]], 1)
    k = sequence(d[..., 1], x[..., 1] + w[..., 0] * late(q))
    expected = np.stack([q, k, sequence(d[..., 2], x[..., 2] + w[..., 1] * late(k))], -1)
    actual = jax.jit(suite.triangular_modes(4)[name])(d, w, x)
    error = np.abs(actual - expected).max() / np.abs(expected).max()
    assert error <= suite.TOLERANCES.get(name, 1e-5)


def test_matrices_are_lower_triangular():
    d, w, _ = suite.operands((1, 2, 3), 3)
    A = triangular.matrices(d, w)
    np.testing.assert_array_equal(A, jnp.tril(A))


def test_a_mode_that_disagrees_is_reported(monkeypatch, capsys):
    sizes = {"--seq-lens": 8, "--batch-size": 1, "--embed-dim": 2, "--image-size": 4, "--seconds": 0.01}
    arguments = ["--skip-3x3", *(str(part) for pair in sizes.items() for part in pair)]
    some = {name: suite.scalar_modes(8)[name] for name in (suite.NATIVE, "quadratic")}
    monkeypatch.setattr(suite, "scalar_modes", lambda chunk: some)
    assert suite.main(arguments) == 0
    assert "wrong" not in capsys.readouterr().out
    some["quadratic"] = lambda A, x: 1.01 * scalar.quadratic(A, x)
    assert suite.main(arguments) == 1
    assert "wrong" in capsys.readouterr().out
