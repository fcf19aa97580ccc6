"""Stored data sets in the trainer: evaluated whole, resumed exactly, images repeated to frames."""

import dataclasses

import jax
import numpy as np
import pytest
from cssm.data.schemas.dist15 import encode_clip
from cssm.data.schemas.image import encode_image
from cssm.data.shards import write_shards
from cssm.data.tfrecord import write_records
from cssm.models import BaselineViT
from cssm.train import loop
from cssm.train.datasets import EvaluationBatches, level_at, task

from tests.cssm.train.runs import log, settled


def test_levels_of_a_curriculum():
    levels = ((0, 0), (10, 3))
    assert [level_at(levels, step, 7) for step in (0, 9, 10, 99)] == [0, 0, 3, 3]
    assert level_at((), 5, 7) == 7


def test_clips_of_several_lengths_take_turns(tmp_path):
    run = settled(tmp_path, "--variable_timesteps", "6,12", "--variable_from", "1")
    batches = iter(task(run).training)
    assert [next(batches)["video"].shape for _ in range(3)] == [(8, frames, 16, 16, 3) for frames in (8, 12, 6)]
    assert all(batch["video"].shape[1] == 8 for batch in task(run).evaluation)


def test_evaluation_pads_and_weighs():
    batches = list(EvaluationBatches.of({"image": np.ones((5, 2)), "label": np.arange(5)}, 4))
    assert [batch["weight"].tolist() for batch in batches] == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert batches[1]["label"].tolist() == [4, 0, 0, 0]
    assert batches[1]["image"].shape == (4, 2)


@pytest.fixture
def clips(tmp_path, rng):
    """The layout of the original PathTracker release: 14 clips to train on, 6 to test."""
    for split, count in (("train", 14), ("test", 6)):
        payloads = [encode_clip(rng.integers(0, 256, (4, 8, 8, 3), np.uint8), i % 2) for i in range(count)]
        for part in range(2):
            write_records(tmp_path / f"{split}-batch_0--{part:05d}-of-00002", payloads[part::2], compress=True)
    return tmp_path


def test_stored_clips_stopped_and_resumed(clips, tmp_path):
    common = [
        "--dataset",
        "girik",
        "--tfrecord_dir",
        str(clips),
        "--seq_len",
        "4",
        "--batch_size",
        "4",
        "--num_workers",
        "0",
    ]
    for name, stops in (("straight", (7,)), ("resumed", (3, 7))):
        for steps in stops:
            # The schedule is that of all seven steps: only the loop ends early.
            run = loop.Run(settled(tmp_path / name, *common, "--steps", "7", "--save_steps", "1"), jax.devices()[:2])
            run.total_steps = steps
            assert run.train() == 0
    straight, resumed = (
        {r["step"]: r["train/loss"] for r in log(tmp_path / name) if "train/loss" in r}
        for name in ("straight", "resumed")
    )
    assert straight == resumed
    assert run.evaluation()["logits"][0].shape == (4, 2)
    assert sum(len(part) for part in run.evaluation()["labels"]) == 6


def test_stored_images_are_repeated_to_frames(tmp_path, rng):
    root = tmp_path / "difficulty_9"
    for split, count in (("train", 8), ("val", 4)):
        payloads = [encode_image(rng.integers(0, 256, (8, 8), np.uint8), i % 2) for i in range(count)]
        write_shards(root / split, payloads, count, 8)
    run = loop.Run(
        settled(
            tmp_path,
            *("--dataset", "pathfinder", "--tfrecord_dir", str(root), "--seq_len", "3", "--batch_size", "4"),
            *("--num_workers", "0", "--steps", "2", "--image_size", "8"),
        ),
        jax.devices()[:1],
    )
    assert run.train() == 0
    batch = next(iter(run.task.training))
    assert run.objective.inputs(batch, None).shape == (4, 8, 8, 3), "the model repeats it"
    for other in (
        dataclasses.replace(run.objective, model=BaselineViT(num_classes=2)),
        dataclasses.replace(run.objective, shortest=1),
    ):
        assert other.inputs(batch, jax.random.key(0)).shape == (4, 3, 8, 8, 3)
