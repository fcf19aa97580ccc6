"""Steps of published runs, cut to a size for tests and compiled for a GPU that is not here."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.full_steps import on_gpu
from benchmarks.full_steps.published import PUBLISHED
from benchmarks.full_steps.steps import Step
from benchmarks.gpu_report.targets import H100

pytestmark = pytest.mark.usefixtures("optimised", "one_capability")


def test_a_step_of_the_published_batch_has_our_kernels():
    run = next(one for one in PUBLISHED if one.name == "PathTracker, gated")
    without = ("--short_conv_size", "0", "--short_conv_spatial_size", "0")
    step = run.step(4, "--embed_dim", "4", "--seq_len", "2", "--kernel_size", "3", *without)
    row = on_gpu.compiled(step, 128, H100)
    assert row["calls"] == "1 gated_scan_forward, 1 gated_scan_vjp"
    assert "triton" not in row["other_launches"]
    assert row["batch"] == 128
    assert row["temp_mb"] > 128 * 2 * 32 * 32 * 4 * 4 / 1e6, "less than one activation"
    assert row["total_mb"] < row["arguments_mb"] + row["results_mb"] + row["temp_mb"], "the state is not given away"


def test_what_the_compiler_refuses_is_noted():
    def refused(state, batch):
        raise jax.errors.JaxRuntimeError("INTERNAL: no tiles\nand more")

    step = Step(refused, None, jnp.zeros(()), {"label": np.zeros(4)})
    assert on_gpu.compiled(step, 4, H100) == {"batch": 4, "note": "INTERNAL: no tiles"}
