"""Tuned malloc, in processes of their own: its settings cannot be taken back."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import cssm_kernels

PROGRAM = """
import json, resource, sys
import cssm_kernels
import jax, jax.numpy as jnp

print(sys.argv[1])
if sys.argv[1] == "restarted":
    cssm_kernels.restart_with_tuned_allocator()
taken = cssm_kernels.tune_host_allocator() if sys.argv[1] == "tuned" else None
x = jnp.ones((1024, 24 << 10), jnp.float32)  # 96 MB: more than glibc keeps by itself
scan = jax.jit(lambda x: cssm_kernels.linear_scan(0.5, x)).lower(x).compile()

def faults_of_a_call():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    scan(x).block_until_ready()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

for _ in range(3):
    faults_of_a_call()
# The fewest: a system short of memory takes pages back from any process now and then.
print(json.dumps([taken, min(faults_of_a_call() for _ in range(8))]))
"""


def run(how):
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=120)
    *started, result = done.stdout.splitlines()
    assert started == [how] * (2 if how == "restarted" else 1)
    return json.loads(result)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_large_results_stay_on_pages_the_process_has():
    taken, faults = run("tuned")
    assert taken is True
    # 48 huge pages a call, or 24,576 small ones where the system has none; else this test proves nothing.
    assert run("default")[1] >= 40
    assert faults < 20
    assert run("restarted")[1] < 20


def test_malloc_settings_of_the_user_are_left_alone(monkeypatch):
    def fail(*_):
        raise AssertionError("restarted")

    monkeypatch.setattr("os.execve", fail)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    cssm_kernels.restart_with_tuned_allocator()
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=4")
    cssm_kernels.restart_with_tuned_allocator()
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.rtld.nns=4")
    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    with pytest.raises(AssertionError, match="restarted"):
        cssm_kernels.restart_with_tuned_allocator()
