"""What spectral_scan compiles to: one kernel forward and one backward, with no spectra in memory and no loop unrolled."""

from __future__ import annotations

import re
import time

import jax
import jax.numpy as jnp

from tests.spectral_scan.cases import Case, call, make_cotangents, make_operands, pulled_back

CASE = Case((2,), 17, (8, 8, 16))


def compiled(case, rng, **options):
    operands, cotangents = make_operands(case, "float32", rng), make_cotangents(case, "float32", False, rng)
    return jax.jit(lambda o, ct: pulled_back(o, ct, **options)).lower(operands, cotangents).compile()


def test_two_custom_calls_and_nothing_around_them(rng):
    """No transposes, no copies: k_hat is read as given, for every frame of the batch."""
    text = compiled(CASE, rng).as_text()
    kinds = set(re.findall(r"= [^=]*? ([a-z][a-z-]*)\(", text))
    assert kinds <= {"parameter", "custom-call", "get-tuple-element", "tuple", "bitcast"}, kinds
    assert text.count("custom-call(") == 2


def test_memory_of_a_gradient_is_that_of_a_state_now_and_then(rng):
    """At 17 steps two checkpoints of each sequence are kept; XLA keeps spectra, several times over."""
    height, columns, channels = CASE.spectrum
    state = 2 * height * columns * channels * 8
    temporaries = {name: compiled(CASE, rng, implementation=name).memory_analysis() for name in ("cpu", "xla")}
    sizes = {name: analysis.temp_size_in_bytes for name, analysis in temporaries.items()}
    assert sizes["cpu"] <= 2 * state + 4096
    assert sizes["cpu"] * 20 < sizes["xla"]


def test_only_what_is_asked_for_is_computed(rng):
    """Without a gradient in k_hat the backward kernel reads no states: the program runs nothing forward."""
    operands = make_operands(CASE, "float32", rng)
    loss = lambda x: jnp.sum(call({**operands, "x": x})[0])
    text = jax.jit(jax.grad(loss)).lower(operands["x"]).compile().as_text()
    assert "cssm_spectral_scan_backward" in text
    assert "cssm_spectral_scan_forward" not in text


def test_compile_time_does_not_grow_with_length():
    def seconds(steps):
        x = jax.ShapeDtypeStruct((steps, 2, 2, 8), jnp.float32)
        operands = {"x": x, "k_hat": jax.ShapeDtypeStruct((2, 2, 8), jnp.complex64)}
        start = time.perf_counter()
        jax.jit(jax.grad(lambda o: jnp.sum(call(o)[0]))).lower(operands).compile()
        return time.perf_counter() - start

    seconds(10)
    assert seconds(50_000) < 2
