"""PathTracker: what a clip shows, the published figures of its curves, and what the markers alone give away."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from cssm.data.pathtracker import Clips, PathTrackerConfig, PathTrackerSource, clips
from cssm.data.probes import distance_accuracy, pixel_accuracy

PUBLISHED = dict(match_distance=False, min_separation=0)


def many(config: PathTrackerConfig, count: int, seed: int = 1) -> Clips:
    parts = [clips(config, seed, range(at, min(at + 250, count))) for at in range(0, count, 250)]
    return Clips(*(np.concatenate(field) for field in zip(*(vars(part).values() for part in parts))))


def outline(corner):
    pixels = np.zeros((32, 32), bool)
    r, c = np.floor(corner).astype(int)
    pixels[r : r + 3, c : c + 3] = True
    pixels[r + 1, c + 1] = False
    return pixels


@pytest.mark.parametrize("match_distance", [True, False])
def test_a_clip_shows_its_dots_and_markers(match_distance):
    made = many(PathTrackerConfig(match_distance=match_distance), 20)
    assert made.video.shape == (20, 32, 32, 32, 3)
    assert made.video.dtype == np.uint8
    assert set(made.label) == {0, 1}
    for video, label, paths, (start, goal) in zip(made.video, made.label, made.trajectories, made.markers):
        np.testing.assert_array_equal(start, paths[0, 0])
        np.testing.assert_array_equal(goal, paths[-1, 0 if label else 1])
        dots = np.zeros((32, 32, 32), bool)
        for path in np.floor(paths).astype(int).swapaxes(0, 1):
            dots[np.arange(32), path[:, 0] + 1, path[:, 1] + 1] = True
        top = np.zeros((32, 32, 32), bool)  # target and decoy are over the markers, distractors under them
        for path in np.floor(paths[:, :2]).astype(int).swapaxes(0, 1):
            top[np.arange(32), path[:, 0] + 1, path[:, 1] + 1] = True
        blue = outline(goal) & ~top
        red = outline(start) & ~outline(goal) & ~top
        np.testing.assert_array_equal(video[..., 2] == 255, blue)
        np.testing.assert_array_equal(video[..., 0] == 255, red)
        np.testing.assert_array_equal(video[..., 1] == 255, dots & ~blue & ~red)
        assert paths.min() >= 0
        assert paths.max() <= 27


@pytest.mark.parametrize(
    "frames, mean_step, extent, start_to_end", [(32, 0.30, 7.2, 7.7), (64, 0.30, 12.4, 11.9)], ids=["32", "64"]
)
def test_curves_have_the_published_figures(frames, mean_step, extent, start_to_end):
    paths = many(PathTrackerConfig(frames=frames, **PUBLISHED), 300).trajectories
    steps = np.linalg.norm(np.diff(paths, axis=1), axis=-1)
    assert steps.mean() == pytest.approx(mean_step, abs=0.015)
    assert steps.max() < 1.1
    assert (paths.max(1) - paths.min(1)).max(-1).mean() == pytest.approx(extent, abs=0.3)
    assert np.linalg.norm(paths[:, -1] - paths[:, 0], axis=-1).mean() == pytest.approx(start_to_end, abs=0.3)
    if frames == 32:
        close = np.linalg.norm(paths[:, -1, 0] - paths[:, -1, 1], axis=-1) < 3
        assert 0.01 < close.mean() < 0.05


def test_matched_markers_say_nothing():
    made = many(PathTrackerConfig(), 6000)
    assert abs(made.label.mean() - 0.5) < 3 * 0.5 / 6000**0.5
    assert distance_accuracy(made.markers, made.label) <= 0.53
    start, end, decoy_end = made.trajectories[:, 0, 0], made.trajectories[:, -1, 0], made.trajectories[:, -1, 1]
    distance, decoy_distance = (np.linalg.norm(x - start, axis=-1) for x in (end, decoy_end))
    np.testing.assert_allclose(distance, decoy_distance, atol=1e-3)
    assert np.linalg.norm(end - decoy_end, axis=-1).min() >= 3 - 1e-3
    few = slice(0, 2000)
    assert pixel_accuracy(made.video[few, 0], made.label[few]) <= 0.53
    assert pixel_accuracy(made.video[few, [0, -1]], made.label[few]) <= 0.53


def test_published_markers_give_the_label_away():
    made = many(PathTrackerConfig(**PUBLISHED, distractors=0), 6000)
    assert distance_accuracy(made.markers, made.label) > 0.77


def test_a_clip_depends_on_config_seed_and_index_alone():
    config = PathTrackerConfig(distractors=3)
    together, alone = clips(config, 7, [5, 2]), clips(config, 7, [2])
    np.testing.assert_array_equal(together.video[1], alone.video[0])
    np.testing.assert_array_equal(together.trajectories[1], alone.trajectories[0])
    assert (clips(config, 8, [2]).video != alone.video).any()
    source = PathTrackerSource(config, seed=7, count=3)
    sample = source[-1]
    np.testing.assert_array_equal(sample["video"], alone.video[0])
    assert sample["label"] == alone.label[0]
    with pytest.raises(IndexError, match=r"index: got 3, expected one in \[-3, 3\)"):
        source[3]
    with pytest.raises(ValueError, match="seed: got -1, expected a non-negative integer"):
        PathTrackerSource(config, -1, 3)


HASHES = {
    "15-dist": ({}, "1ce5f5a91123f75e"),
    "published": (dict(frames=64, **PUBLISHED), "befb2a24d44459f3"),
    "restyled": (dict(style="restyled_v1"), "e5ca1e8b4ee89856"),
}


@pytest.mark.parametrize("fields, expected", HASHES.values(), ids=HASHES)
def test_clips_are_the_same_everywhere(fields, expected):
    made = clips(PathTrackerConfig(**fields), 0, range(8))
    assert hashlib.sha256(made.video.tobytes() + bytes(made.label.tolist())).hexdigest()[:16] == expected


@pytest.mark.parametrize("distractors", [0, 25])
def test_any_number_of_distractors(distractors):
    made = clips(PathTrackerConfig(distractors=distractors, dot_size=2, skip=2), 0, range(2))
    assert made.trajectories.shape == (2, 32, 2 + distractors, 2)
    assert clips(PathTrackerConfig(distractors=distractors, style="restyled_v1"), 0, []).video.shape[0] == 0


BAD = {
    "frames": (dict(frames=1), "frames: got 1, expected at least 2"),
    "too long": (dict(frames=64, skip=6), "got 64 and 6, expected a product of at most 326"),
    "style": (dict(style="restyled"), "style: got 'restyled', expected one of published, restyled_v1"),
    "dot": (dict(dot_size=4), "dot_size: got 4, expected at most 3"),
    "distractors": (dict(distractors=-1), "distractors: got -1, expected at least 0"),
}


@pytest.mark.parametrize("fields, message", BAD.values(), ids=BAD)
def test_bad_configs(fields, message):
    with pytest.raises(ValueError, match=message):
        PathTrackerConfig(**fields)


def test_no_room(monkeypatch):
    monkeypatch.setattr("cssm.data.pathtracker._TRIES", 20)
    with pytest.raises(ValueError, match="min_separation: got 32, 1, 32, 1000, expected values that leave room"):
        clips(PathTrackerConfig(min_separation=1000), 0, [0])
