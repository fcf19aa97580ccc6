"""Pathfinder: what an image shows, the published figures, and what the discs' distance alone gives away."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from cssm.data.paddles import disc, paddles
from cssm.data.pathfinder import PathfinderConfig, PathfinderSource, Scene, scene
from cssm.data.probes import distance_accuracy, pixel_accuracy


def many(config: PathfinderConfig, count: int) -> list[Scene]:
    return [scene(config, 1, i) for i in range(count)]


def occupancy(config: PathfinderConfig, stamps) -> np.ndarray:
    """Of one contour, by the stamps it is of, in units of 1."""
    tables = paddles(config.paddle_length, config.paddle_thickness, config.margin, config.antialias, config.continuity)
    guard = 2 * tables.reach
    out = np.zeros(2 * (config.size + 2 * guard,))
    for row, column, degrees in stamps:
        rows, columns = (slice(at + guard - tables.reach, at + guard + tables.reach + 1) for at in (row, column))
        out[rows, columns] = np.maximum(out[rows, columns], tables.mask[degrees] / 255)
    return out


@pytest.mark.parametrize("match_distance", [True, False], ids=["matched", "published"])
def test_an_image_shows_its_contours_and_discs(match_distance):
    config = PathfinderConfig.scaled(9, match_distance=match_distance)
    made = many(config, 12)
    assert {s.label for s in made} == {0, 1}
    for s in made:
        assert s.image.shape == (128, 128)
        assert s.image.dtype == np.uint8
        marked, other = s.contours
        np.testing.assert_array_equal(s.markers, [marked[0], marked[-1] if s.label else other[-1]])
        for marker in s.markers:
            assert (s.image[tuple((marker + disc(2)).T)] == 255).all()
        assert s.contours.shape == (2, 10, 2)
        assert [len(stamps) for stamps in s.stamps] == [9, 9] + [3] * s.distractors
        assert np.linalg.norm(marked[0] - other[0]) == pytest.approx(12, abs=0.75)
        border = s.targets.copy()
        border[9:-9, 9:-9] = 0
        assert border.max() < 8  # no more than the ripples of the reduction by Lanczos
        assert (s.targets[tuple(s.contours.reshape(-1, 2).T)] > 20).all()
        total = np.zeros_like(occupancy(config, []))
        for stamps in s.stamps:
            mask = occupancy(config, stamps)
            assert (total + mask).max() < 1.8
            total = np.maximum(total, mask)


def test_contours_turn_by_less_than_their_continuity_allows():
    for continuity, largest in ((1.8, 51), (0.8, 114)):
        config = PathfinderConfig.scaled(14, continuity=continuity, distractors=0)
        degrees = np.array([[d for _, _, d in stamps[1:]] for s in many(config, 10) for stamps in s.stamps])
        turns = np.abs((np.diff(degrees) + 180) % 360 - 180)
        assert 0.6 * largest < turns.max() <= largest


@pytest.mark.parametrize("length, targets, whole", [(6, 156, 542), (14, 362, 1131)])
def test_images_are_as_bright_as_the_published(length, targets, whole):
    config = PathfinderConfig(length, match_distance=False)
    made = many(config, 6)
    assert np.mean([(s.targets > 0.3 * 255).sum() for s in made]) == pytest.approx(targets, rel=0.06)
    discs = 2 * len(disc(config.marker_radius))
    assert np.mean([(s.image > 0.3 * 255).sum() - discs for s in made]) == pytest.approx(whole, rel=0.06)
    assert np.mean([s.distractors for s in made]) > 14.5


def test_matched_discs_say_nothing():
    config = PathfinderConfig.scaled(6, distractors=0)
    made = many(config, 3000)
    label, markers = np.array([s.label for s in made]), np.array([s.markers for s in made])
    assert abs(label.mean() - 0.5) < 3 * 0.5 / 3000**0.5
    assert distance_accuracy(markers, label) <= 0.53
    pixels = np.array([s.image.reshape(32, 4, 32, 4).mean((1, 3)) for s in made])
    assert pixel_accuracy(pixels, label) <= 0.53
    for s in made[:50]:
        ends = np.linalg.norm(s.contours[:, -1] - s.contours[0, 0], axis=-1)
        assert abs(ends[0] - ends[1]) <= 0.5


def test_published_discs_give_the_label_away():
    made = many(PathfinderConfig.scaled(6, distractors=0, match_distance=False), 1500)
    assert distance_accuracy(np.array([s.markers for s in made]), np.array([s.label for s in made])) > 0.75


def test_an_image_depends_on_config_seed_and_index_alone():
    config = PathfinderConfig.scaled(6)
    source = PathfinderSource(config, seed=3, count=4)
    first = source[2]
    source[0]
    np.testing.assert_array_equal(first["image"], np.repeat(scene(config, 3, 2).image[..., None], 3, -1))
    np.testing.assert_array_equal(first["image"], source[2]["image"])
    assert first["label"] == scene(config, 3, 2).label
    assert (scene(config, 4, 2).image != first["image"][..., 0]).any()


HASHES = {
    "scaled": (PathfinderConfig.scaled(14), "71fda60965e8c7ad"),
    "300 reduced": (PathfinderConfig(9, output_size=128), "5b924738729fbc21"),
    "published": (PathfinderConfig(6, match_distance=False), "e4b7d7898a068815"),
}


@pytest.mark.parametrize("config, expected", HASHES.values(), ids=HASHES)
def test_images_are_the_same_everywhere(config, expected):
    digest = hashlib.sha256()
    for index in range(4):
        made = scene(config, 0, index)
        digest.update(made.image.tobytes() + bytes([made.label]))
    assert digest.hexdigest()[:16] == expected


def test_any_number_of_distractors_as_far_as_they_fit():
    assert scene(PathfinderConfig.scaled(6, distractors=0), 0, 0).distractors == 0
    assert scene(PathfinderConfig.scaled(6, distractors=25), 0, 0).distractors == 25
    assert 100 < scene(PathfinderConfig.scaled(14, distractors=500), 0, 0).distractors < 160


BAD = {
    "length": (dict(contour_length=1), "contour_length: got 1, expected at least 2"),
    "seeds": (dict(seed_distance=75), "seed_distance: got 75, expected less than a quarter of size 300"),
    "thickness": (dict(paddle_thickness=1.3), "got 1.3 and 2, expected a whole product"),
    "output": (dict(output_size=0), "output_size: got 0, expected at least 1"),
}


@pytest.mark.parametrize("fields, message", BAD.values(), ids=BAD)
def test_bad_configs(fields, message):
    with pytest.raises(ValueError, match=message):
        PathfinderConfig(**fields)


def test_no_room(monkeypatch):
    monkeypatch.setattr("cssm.data.pathfinder_targets._TRIES", 20)
    for match_distance in (True, False):
        with pytest.raises(
            ValueError, match="contour_length: got 30, expected one of which two contours fit into size 60"
        ):
            scene(PathfinderConfig(30, size=60, seed_distance=12, match_distance=match_distance), 0, 0)
