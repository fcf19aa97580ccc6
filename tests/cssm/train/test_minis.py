"""PathTracker-mini: what is drawn, and that markers alone say nothing."""

import dataclasses

import numpy as np
import pytest
from cssm.data.minis import PATHFINDER_MINI, PathTrackerMini, pathfinder_mini, turned
from cssm.data.pathfinder import scene


def corner(video, channel):
    """The pixel of a marker, (N, 2)."""
    return np.argwhere(video[:, 0, :, :, channel])[:, 1:]


def test_clips_are_a_function_of_the_seed_alone():
    mini = PathTrackerMini()
    first, again, other = (mini.batch(seed, 5)["video"] for seed in ((3, 1), (3, 1), (3, 2)))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.shape == (5, 8, 16, 16, 3)
    assert first.dtype == np.uint8


def test_markers_stay_and_the_right_dot_ends_in_the_goal():
    clips = dataclasses.replace(PathTrackerMini(), distractors=0).batch((0,), 300)
    video, label = clips["video"], clips["label"]
    for channel in (0, 2):
        assert (video[..., channel] == video[:, :1, :, :, channel]).all()
        assert (video[:, 0, :, :, channel] > 0).sum((1, 2)).tolist() == [1] * 300
    start, goal = corner(video, 0), corner(video, 2)
    dots = video[..., 1] > 0
    everyone = np.arange(300)
    assert dots[everyone, 0, start[:, 0], start[:, 1]].all(), "a dot begins in the start marker"
    assert dots[everyone, -1, goal[:, 0], goal[:, 1]].all(), "and one ends in the goal, in either class"
    assert 0.4 < label.mean() < 0.6


def test_the_distance_of_the_markers_says_nothing():
    clips = PathTrackerMini().batch((1,), 20_000)
    distance = np.linalg.norm(corner(clips["video"], 0) - corner(clips["video"], 2), axis=1)
    votes = [clips["label"][distance == value] for value in np.unique(distance)]
    right = sum(max(v.sum(), len(v) - v.sum()) for v in votes)
    assert right / 20_000 < 0.53


def test_more_frames_than_fit_are_refused():
    with pytest.raises(ValueError, match=r"frames: got 40, at 1\.2 pixels a frame more than fits into size 16"):
        PathTrackerMini(frames=40).batch((0,), 3)


def test_both_ends_are_as_far_and_turned_alike():
    """Else the directions at the discs tell a short contour's label."""
    for index in range(40):
        made = scene(PATHFINDER_MINI, 3, index)
        start, *ends = made.contours[0][0], made.contours[0][-1], made.contours[1][-1]
        near, far = sorted(np.linalg.norm(end - start) for end in ends)
        assert far - near <= PATHFINDER_MINI.distance_tolerance
        apart = (made.stamps[0][-1][2] - made.stamps[1][-1][2]) % 360
        assert min(apart, 360 - apart) <= 6
    with pytest.raises(ValueError, match="match_orientation: got True, expected match_distance with it"):
        dataclasses.replace(PATHFINDER_MINI, match_distance=False)


def test_pathfinder_mini_is_balanced_by_distance():
    images = pathfinder_mini(0, 400)
    assert images["image"].shape == (400, 32, 32, 1)
    again = pathfinder_mini(0, 3)
    np.testing.assert_array_equal(again["image"], images["image"][:3])
    assert 0.4 < images["label"].mean() < 0.6


def test_turned_images_are_symmetries(rng):
    images = rng.integers(0, 256, (40, 5, 5, 1))
    out = turned(images, np.random.default_rng(0))
    kinds = set()
    for image, made in zip(images[..., 0], out[..., 0]):
        eight = [np.rot90(flipped, k) for flipped in (image, image[:, ::-1]) for k in range(4)]
        kinds.add(next(i for i, one in enumerate(eight) if (one == made).all()))
    assert kinds == set(range(8))
