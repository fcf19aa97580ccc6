"""Loaders: order, shards, positions, sizes; on a set of which every sample tells its index."""

from __future__ import annotations

import json
from itertools import chain

import numpy as np
import pytest
from cssm.data.fitting import Fit
from cssm.data.loader import make_loader
from cssm.data.normalisation import IMAGENET
from cssm.data.registry import DataSet, register
from cssm.data.schemas.dist15 import encode_clip
from cssm.data.schemas.image import encode_image
from cssm.data.shards import write_shards

COUNT = 23


class Counted:
    """Clips (8, 2, 4, 3) of which every pixel is the index; a draw adds 100 to half of them."""

    def __init__(self, level):
        self.level = level

    def __repr__(self):
        return f"Counted of {self.level}"

    def __len__(self):
        return COUNT

    def __getitem__(self, i):
        return {"video": np.full((8, 2, 4, 3), i, np.uint8), "label": i % 2}

    def draw(self, i, rng):
        return {"video": np.full((8, 2, 4, 3), i + 100 * rng.integers(2), np.uint8), "label": i % 2}


def _open_counted(request):
    request.one_of("train", "val")
    source = Counted(request.difficulty or 1)
    return DataSet(source, draw=source.draw if request.split == "train" else None)


register("counted", _open_counted)


def epoch(loader):
    """Indices, drawn ones with 100 more, a batch a list."""
    batches = []
    for batch in loader:
        assert batch.keys() == {"video", "label"}
        assert batch["label"].dtype == np.int32
        values = batch["video"][:, 0, 0, 0, 0].astype(int)
        np.testing.assert_array_equal(values % 100 % 2, batch["label"])
        batches.append(values.tolist())
    return batches


def indices(batches):
    return sorted(value % 100 for batch in batches for value in batch)


def test_epochs_are_shuffled_and_reproducible():
    loader = make_loader("counted", "train", 4, drop_remainder=False)
    first, second = epoch(loader), epoch(loader)
    assert [len(batch) for batch in first] == [4, 4, 4, 4, 4, 3]
    assert (len(loader), loader.epoch) == (6, 2)
    assert indices(first) == indices(second) == list(range(COUNT))
    order = [[value % 100 for batch in batches for value in batch] for batches in (first, second)]
    assert order[0] != order[1] != list(range(COUNT)) != order[0]
    drawn = [{value % 100: value >= 100 for batch in batches for value in batch} for batches in (first, second)]
    assert drawn[0] != drawn[1]
    again = make_loader("counted", "train", 4, drop_remainder=False, prefetch=0)
    assert [epoch(again), epoch(again)] == [first, second]
    other = epoch(make_loader("counted", "train", 4, drop_remainder=False, seed=1))
    assert [value % 100 for batch in other for value in batch] not in order


def test_evaluation_is_in_order_and_whole():
    loader = make_loader("counted", "val", 5)
    expected = [list(range(i, min(i + 5, COUNT))) for i in range(0, COUNT, 5)]
    assert [epoch(loader), epoch(loader)] == [expected, expected]


@pytest.mark.parametrize("prefetch", [0, 3])
def test_resume_at_every_position(prefetch):
    loader = make_loader("counted", "train", 5, prefetch=prefetch)
    whole = [epoch(loader) for _ in range(3)]
    assert [len(batches) for batches in whole] == [4, 4, 4]
    stopping = make_loader("counted", "train", 5, prefetch=prefetch)
    states = [json.dumps(stopping.state())]
    for _ in range(2):
        states += [json.dumps(stopping.state()) for _ in stopping]
    for position, state in enumerate(states):
        done, batch = divmod(position, 4)
        loader.restore(json.loads(state))
        assert (loader.epoch, loader.state()) == (done, json.loads(state))
        assert [epoch(loader), epoch(loader)][: 3 - done] == [whole[done][batch:], *whole[done + 1 :]][:2]


def test_stopping_within_an_epoch_goes_on_from_there():
    loader = make_loader("counted", "val", 5)
    for batch in loader:
        if batch["video"][0, 0, 0, 0, 0] == 5:
            break
    assert epoch(loader) == [[10, 11, 12, 13, 14], [15, 16, 17, 18, 19], [20, 21, 22]]


@pytest.mark.parametrize("split", ["train", "val"])
def test_shards_are_a_partition(split):
    shards = [make_loader("counted", split, 3, shard=(i, 3), drop_remainder=False) for i in range(3)]
    for _ in range(2):
        parts = [epoch(shard) for shard in shards]
        assert sorted(chain(*map(indices, parts))) == list(range(COUNT))
    equal = [make_loader("counted", split, 4, shard=(i, 3), drop_remainder=True) for i in range(3)]
    seen = [epoch(shard) for shard in equal]
    assert [len(part) for part in seen] == [len(shard) for shard in equal] == [1, 1, 1]  # of 8, 8 and 7 samples
    assert len(set(chain(*map(indices, seen)))) == 12


def test_worker_processes_give_the_same(tmp_path):
    clips = np.random.default_rng(0).integers(0, 256, (9, 8, 2, 2, 3), np.uint8)
    payloads = (encode_clip(clip, i % 2) for i, clip in enumerate(clips))
    write_shards(tmp_path, payloads, 9, 3, lambda i, n: f"train-batch_0--{i:05d}-of-{n:05d}", compress=True)
    alone = make_loader("girik", "train", 2, 4, root=tmp_path)
    expected = [batch for _ in range(2) for batch in alone]
    loader = make_loader("girik", "train", 2, 4, root=tmp_path, num_workers=2)
    iterator = iter(loader)
    next(iterator)
    state = loader.state()
    got = [*iterator, *loader]
    loader.close()
    assert len(got) == 5
    for have, want in zip(got, expected[1:]):
        assert type(have["video"]) is np.ndarray
        np.testing.assert_array_equal(have["video"], want["video"])
        np.testing.assert_array_equal(have["label"], want["label"])
    alone.restore(state)
    np.testing.assert_array_equal(next(iter(alone))["video"], expected[1]["video"])


def test_clips_are_resized_to_the_nearest_pixel():
    ramp = np.broadcast_to(np.arange(6, dtype=np.uint8)[:, None], (2, 6, 6, 3))
    clip = Fit(image_size=4)({"video": ramp, "label": 1})["video"]
    np.testing.assert_array_equal(clip, np.broadcast_to(np.array([0, 2, 3, 5])[:, None], (2, 4, 4, 3)))


def test_clips_are_thinned_and_resized():
    loader = make_loader("counted", "val", 2, 3, 4)
    assert (loader.info.shape, loader.info.frames, loader.info.image_size, loader.info.kind) == (
        (3, 4, 4, 3),
        3,
        4,
        "video",
    )
    assert (loader.info.samples, loader.info.num_classes, loader.info.normalisation) == (COUNT, 2, IMAGENET)
    assert next(iter(loader))["video"].shape == (2, 3, 4, 4, 3)
    with pytest.raises(ValueError, match="num_frames: got 9, expected 1 to 8"):
        make_loader("counted", "val", 2, 9)


@pytest.mark.parametrize("encoding", ["float32", "uint8"])
def test_images_stay_images(tmp_path, encoding):
    payloads = (encode_image(np.full((4, 4), 10 * i, np.uint8), i % 2, encoding) for i in range(6))
    write_shards(tmp_path / "val", payloads, 6, 4)
    for size in (None, 2):
        loader = make_loader("pathfinder", "val", 6, 8, size, root=tmp_path)
        (batch,) = loader
        shape = (size or 4, size or 4, 3)
        pixels = np.broadcast_to(10 * np.arange(6, dtype=np.uint8)[:, None, None, None], (6, *shape))
        expected = IMAGENET(pixels) if encoding == "float32" else pixels
        assert (batch["image"].dtype, batch["image"].shape) == (expected.dtype, (6, *shape))
        np.testing.assert_allclose(batch["image"], expected, rtol=1e-6)
        assert (loader.info.shape, loader.info.frames) == (shape, 8)
        assert loader.info.normalisation == (IMAGENET if encoding == "uint8" else None)


def test_corrupt_records_end_the_epoch(tmp_path):
    write_shards(tmp_path / "val", (encode_image(np.zeros((4, 4), np.uint8), 0, "uint8") for _ in range(4)), 4, 4)
    path = tmp_path / "val" / "shard_00000.tfrecord"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    loader = make_loader("pathfinder", "val", 2, root=tmp_path)
    with pytest.raises(ValueError, match=f"shard_00000.tfrecord, record at byte {len(data) // 4 * 3}: its payload"):
        list(loader)


REFUSED = {
    "name": (dict(name="mnist"), "name: got 'mnist', expected one of cabc, counted, girik"),
    "split": (dict(split="test"), "split: got 'test', expected one of train, val"),
    "batch_size": (dict(batch_size=0), "batch_size: got 0, expected at least 1"),
    "batch": (dict(batch_size=24), "batch_size: got 24, expected no more than the 23 samples of a shard"),
    "shard": (dict(shard=(2, 2)), r"shard: got \(2, 2\), expected \(i, n\)"),
    "seed": (dict(seed=-1), "seed: got -1, expected 0 to"),
    "workers": (dict(num_workers=-1), "num_workers: got -1, expected at least 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    changed, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        make_loader(**dict(name="counted", split="train", batch_size=4) | changed)


def test_states_of_another_order_are_refused():
    state = make_loader("counted", "train", 4).state()
    assert state["order"]["source"] == "Counted of 1"
    with pytest.raises(ValueError, match=r"'difficulty': None.*'Counted of 1'.*'difficulty': 5.*'Counted of 5'"):
        make_loader("counted", "train", 4, difficulty=5).restore(state)
    with pytest.raises(ValueError, match=r"state: got one of .*'batch_size': 4.*, expected one of .*'batch_size': 5"):
        make_loader("counted", "train", 5).restore(state)
    with pytest.raises(ValueError, match="name: got 'counted', which is taken"):
        register("counted", _open_counted)
