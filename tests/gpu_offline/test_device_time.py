"""Programs between CUDA events, as XLA schedules them for a GPU: nothing timed comes before the first or after the last."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import pytest

from benchmarks import cuda_events
from benchmarks.gpu_report.deviceless import compile_for
from benchmarks.gpu_report.targets import B200, H100
from cssm_kernels import _native, linear_scan

pytestmark = pytest.mark.usefixtures("optimised")
X = jax.ShapeDtypeStruct((64, 4096), jnp.complex64)
A = jax.ShapeDtypeStruct((4096,), jnp.complex64)
# Instructions of the schedule that are no work on the device.
FREE = {"parameter", "get-tuple-element", "tuple", "bitcast", "constant"}


@pytest.fixture(autouse=True)
def known_handler(one_capability):
    """XLA compiles no call of a target it does not know; where the CUDA module was not built, or is older, any
    handler stands in."""
    cuda = _native.load_cuda()
    if cuda is None or cuda_events.RECORD not in cuda.handlers():
        handler = next(iter(_native.load().handlers().values()))
        jax.ffi.register_ffi_target(cuda_events.RECORD, handler, platform="CUDA")


def schedule(function, shapes, gpu=H100) -> tuple[list[str], set[str]]:
    """Opcodes, or targets of custom calls, in the order in which the program runs them; and those that read its operands."""
    text = compile_for(gpu, function, shapes).text
    assert "is_scheduled=true" in text
    (entry,) = re.findall(r"^ENTRY .*?\{\n(.*?)^\}", text, re.M | re.S)
    found, reading, parameters = [], set(), set()
    for line in entry.splitlines():
        result, opcode, operands = re.search(r"%([\w.-]+) = .*? ([a-z][\w-]*)\((.*?)\)", line).groups()
        target = re.search(r'custom_call_target="([^"]+)"', line)
        name = target[1] if target else opcode
        if opcode == "parameter":
            parameters.add(result)
        if opcode not in FREE:
            found.append(name)
            if parameters & set(re.findall(r"%([\w.-]+)", operands)):
                reading.add(name)
    return found, reading


def check(timed: list[str], reading: set[str]) -> list[str]:
    """What runs between the events, after checking that nothing can be outside."""
    first, last = (i for i, name in enumerate(timed) if name == cuda_events.RECORD)
    assert set(timed[:first]) <= {"copy"}, "of the operands"
    assert timed[last + 1 :] == []
    assert reading <= {"copy", cuda_events.RECORD}, "the operands come through the first event"
    return timed[first + 1 : last]


@pytest.mark.parametrize("gpu", [H100, B200], ids=lambda gpu: gpu.name)
def test_all_work_is_between_the_events(gpu):
    def work(a, x, ct):
        h, vjp = jax.vjp(lambda a, x: linear_scan(a, 2 * jnp.fft.fft(x)), a, x)
        return {"h": h, "grads": vjp(ct)}

    alone, _ = schedule(work, [A, X, X], gpu)
    between = check(*schedule(cuda_events.bracketed(work), [A, X, X], gpu))
    assert sorted(between) == sorted(alone), "what the program does without events, and nothing else"


def test_work_on_one_operand_alone_does_not_start_early():
    def work(a, x):
        return linear_scan(jnp.sort(a), x), jnp.cumsum(a)

    check(*schedule(cuda_events.bracketed(work), [A, X]))


def test_arrays_are_needed_to_order_by():
    with pytest.raises(ValueError, match="takes or returns no array"):
        jax.eval_shape(cuda_events.bracketed(lambda: jnp.ones(3)))


def test_a_cpu_has_no_events():
    assert cuda_events.clock() is None
