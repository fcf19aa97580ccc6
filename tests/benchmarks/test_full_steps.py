"""Steps of published runs, cut to a size for tests."""

from __future__ import annotations

import argparse

import jax
import jax.numpy as jnp
import pytest
from cssm.data.loader import make_loader

from benchmarks.full_steps import on_cpu, sets, table
from benchmarks.full_steps.published import PUBLISHED
from benchmarks.full_steps.steps import Step
from benchmarks.gpu_report.targets import H100


def test_every_published_run_is_in_its_grid():
    assert {one.batch for one in PUBLISHED} == {128, 256, 512}


def test_a_step_runs_on_its_published_data():
    run = next(one for one in PUBLISHED if one.name == "PathTracker, no_gate")
    step = run.step(4, "--embed_dim", "4", "--seq_len", "2", "--kernel_size", "3", "--pos_embed", "none")
    assert step.batch["video"].shape == (4, 2, 32, 32, 3)
    assert step.shapes(128)[1]["video"].shape == (128, 2, 32, 32, 3)
    row = on_cpu.run(step)
    assert row["batch"] == 4
    of_norms = "3 cssm_layer_norm_forward, 3 cssm_layer_norm_backward"
    of_products = "2 cssm_dense_forward, 2 cssm_dense_backward"
    assert row["calls"] == f"{of_norms}, {of_products}, 1 cssm_spectral_scan_forward, 1 cssm_spectral_scan_backward"
    assert row["total_mb"] > row["temp_mb"] > 4 * 2 * 32 * 32 * 4 * 4 / 1e6, "less than one activation"


def test_a_step_that_is_not_finite_is_none():
    jitted = jax.jit(lambda state, batch: (state, {"loss": jnp.log(state), "grad_norm": state}))
    step = Step(jitted, jitted, jnp.float32(-1), {"label": jnp.zeros(2)})
    with pytest.raises(FloatingPointError, match="'loss': nan"):
        on_cpu.run(step)


def test_the_imagenet_set_has_every_class(tmp_path):
    sets.imagenet(tmp_path, argparse.Namespace(batch_size=3, image_size=40))
    loader = make_loader("imagenet", "train", 3, image_size=32, root=tmp_path)
    assert (loader.info.num_classes, loader.info.samples, loader.info.shape) == (1000, 3, (32, 32, 3))


def test_the_table_says_what_does_not_fit_and_what_was_not_compiled():
    one = PUBLISHED[0]
    here = {"batch": 2, "step_s": 1.0, "total_mb": 2e3}
    large = {"batch": 4, "total_mb": 2 * H100.memory / 1e6, "calls": "1 ours", "note": ""}
    refused = {"batch": 4, "note": "INTERNAL: no tiles"}
    rows = {(one.name, device): row for device, row in zip(table.DEVICES, (here, large, refused))}
    line = table.markdown(rows, [one]).splitlines()[-1]
    assert line.endswith(
        "| 4 | 2 samples, 1.0 s, 2.0 GB | 170.0, of 85: does not fit | not compiled: INTERNAL: no tiles | 1 ours |"
    )
    assert len(table.markdown({}, [one]).splitlines()) == 2, "no line without rows"
