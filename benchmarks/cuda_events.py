"""Time on a GPU by CUDA events, which the timed program itself records on its stream before and after the work.

What is taken is the time from the first kernel's start to the last one's end, with the gaps that a host slower than the GPU
leaves between them. Dispatch before it and waiting after it are not in it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from cssm_kernels import _native

FIRST, LAST = 0, 1
"""Slots of the events."""

RECORD = "cssm_cuda_record_event"

T = TypeVar("T")


def on_cuda() -> bool:
    """Whether jax computes on an NVIDIA GPU by default."""
    return jax.default_backend() == "gpu" and jax.devices()[0] in jax.devices("cuda")


def bracketed(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` between two events.

    Its order is by data alone: every operand passes through the first recording, every result through the second, both in
    place. (XLA drops `optimization_barrier` before it schedules.) An operand belongs to the caller, so XLA copies it first:
    before the first event, in no time taken.
    """

    @functools.wraps(function)
    def run(*args: Any) -> Any:
        return _recorded(LAST, function(*_recorded(FIRST, args)))

    return run


def _recorded(slot: int, values: T) -> T:
    leaves, structure = jax.tree.flatten(values)
    if not leaves:
        raise ValueError("the timed function takes or returns no array; expected at least one of each to order it by")
    leaves = [jnp.asarray(leaf) for leaf in leaves]
    record = jax.ffi.ffi_call(
        RECORD,
        [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves],
        has_side_effect=True,
        input_output_aliases={i: i for i in range(len(leaves))},
    )
    return jax.tree.unflatten(structure, record(*leaves, slot=np.int64(slot)))


def after(call: Callable[[], object]) -> Callable[[], float]:
    """Makes `call`, which runs one `bracketed` program on one device, and gives the seconds between its events."""
    cuda: Any = _native.load_cuda()

    def seconds() -> float:
        call()
        return cuda.elapsed_ms(FIRST, LAST) * 1e-3

    return seconds


def device_seconds(function: Callable[..., Any], *args: Any) -> Callable[[], float]:
    """Compile `function` for these arguments; each call of what is returned runs it once, and gives its seconds on the GPU.

    Raises:
      ImportError: the native CUDA module was not built.
      ValueError: `function` takes or returns no array.
    """
    _native.require_cuda()
    program = jax.jit(bracketed(function)).lower(*args).compile()
    return after(lambda: jax.block_until_ready(program(*args)))


class EventClock:
    """Seconds that timed calls have spent on the GPU: a clock for `timing.interleave`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time now: it passes in calls alone."""
        return self.now

    def counting(self, seconds: Callable[[], float]) -> Callable[[], None]:
        """A call that moves this clock by the seconds that one of `seconds` returns."""

        def call() -> None:
            self.now += seconds()

        return call


def clock() -> EventClock | None:
    """A clock where programs run on a GPU and the native CUDA module is there to record events; else None."""
    return EventClock() if on_cuda() and _native.load_cuda() is not None else None
