"""Times between CUDA events."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import pytest

from benchmarks import cuda_events, platforms

pytestmark = pytest.mark.gpu


def products(count):
    def run(x):
        return jax.lax.fori_loop(0, count, lambda _, y: jnp.tanh(y @ x), x)

    return run


def test_more_work_takes_longer_and_never_longer_than_the_whole_call():
    x = jnp.ones((2048, 2048), jnp.float32) / 2048
    taken = {}
    for count in (1, 20):
        seconds = cuda_events.device_seconds(products(count), x)
        seconds()
        start = time.perf_counter()
        taken[count] = [seconds() for _ in range(5)]
        assert 0 < sum(taken[count]) <= time.perf_counter() - start
    assert 4 * min(taken[1]) < min(taken[20])


def test_the_benchmarks_find_the_gpu_and_its_events():
    assert isinstance(cuda_events.clock(), cuda_events.EventClock)
    assert platforms.missing_gpu(platforms.VARIABLES["cuda"]) is None


def test_events_that_nothing_recorded_are_refused():
    from cssm_kernels import _native

    with pytest.raises(ValueError, match="no event was recorded in slot 77"):
        _native.load_cuda().elapsed_ms(77, 78)
