"""cABC: what an image shows, and that the discs' distance says nothing."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from cssm.data.cabc import DIFFICULTIES, CabcConfig, CabcSource, Scene, scene
from cssm.data.letters import LETTERS, strokes
from cssm.data.paddles import disc
from cssm.data.probes import distance_accuracy


def test_every_letter_fills_its_box():
    assert LETTERS == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    shapes = {letter: strokes(letter, 0.01) for letter in LETTERS}
    for points in shapes.values():
        assert np.abs(points).max() < 0.6
        assert points[:, 1].max() - points[:, 1].min() > 0.95
    pictures = {letter: frozenset(map(tuple, np.rint(points * 20).astype(int))) for letter, points in shapes.items()}
    assert len(set(pictures.values())) == 26


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_an_image_shows_two_letters_and_a_disc_on_each_or_on_one(difficulty):
    for index in range(12):
        s = scene(CabcConfig(difficulty), 1, index)
        assert s.image.shape == (350, 350)
        assert s.image.dtype == np.uint8
        first, second = (s.masks[(slice(None), *marker)] for marker in s.markers)
        np.testing.assert_array_equal(first, [True, False])
        np.testing.assert_array_equal(second, [bool(s.label), not s.label])
        assert np.linalg.norm(s.markers[0] - s.markers[1]) > 22
        assert (s.image[tuple((s.markers[1] + disc(11)).T)] == 255).all()
        share = (s.masks[0] & s.masks[1]).sum() / s.masks.sum((1, 2)).min()
        assert 0.01 <= share <= 0.15
        reach = np.zeros(s.image.shape, bool)  # cells move by at most 4, and reach 4 beyond a pixel of the letter
        for row, column in np.argwhere(s.masks.any(0)):
            reach[max(row - 9, 0) : row + 10, max(column - 9, 0) : column + 10] = True
        for marker in s.markers:
            reach[tuple((marker + disc(11)).clip(0, 349).T)] = True
        assert not s.image[~reach].any()
        middles = [np.argwhere(mask).mean(0) - 175 for mask in s.masks]
        low, high = DIFFICULTIES[difficulty].radius
        assert all(low - 15 < np.linalg.norm(middle) < high + 15 for middle in middles)


def test_letters_that_do_not_touch():
    for index in range(2):
        s = scene(CabcConfig(touch=False), 1, index)
        first, second = (np.argwhere(mask) for mask in s.masks)
        assert ((first[::2, None] - second[None, ::2]) ** 2).sum(-1).min() >= 24**2


def test_discs_are_as_far_apart_in_either_class():
    made: list[Scene] = [scene(CabcConfig("hard"), 1, i) for i in range(600)]
    label, markers = np.array([s.label for s in made]), np.array([s.markers for s in made])
    assert abs(label.mean() - 0.5) < 3 * 0.5 / 600**0.5
    distance = np.linalg.norm(markers[:, 0] - markers[:, 1], axis=-1)
    values = np.sort(distance)
    share = [np.searchsorted(np.sort(distance[label == k]), values, side="right") / (label == k).sum() for k in (0, 1)]
    ones = label.sum()
    assert np.abs(share[0] - share[1]).max() < 1.63 * (600 / (ones * (600 - ones))) ** 0.5  # Kolmogorov-Smirnov at 0.01
    assert distance_accuracy(markers, label, bins=4) <= 0.53


HASHES = {"easy": "583d6ccc2a73dc93", "medium": "2855ad007f8ff0f5", "hard": "36e0cfd1c08875e2"}


@pytest.mark.parametrize("difficulty, expected", HASHES.items())
def test_images_are_the_same_everywhere(difficulty, expected):
    digest = hashlib.sha256()
    source = CabcSource(CabcConfig(difficulty, output_size=224), seed=0, count=4)
    for index in (2, 0, 3, 1):
        sample = source[index]
        assert sample["image"].shape == (224, 224, 3)
        digest.update(sample["image"][..., 0].tobytes() + bytes([sample["label"]]))
    assert digest.hexdigest()[:16] == expected


BAD = {
    "difficulty": (dict(difficulty="14"), "difficulty: got '14', expected one of easy, medium, hard"),
    "cell": (dict(cell=4), "cell: got 4, expected a divisor of size 350"),
    "thickness": (dict(thickness=0), "thickness: got 0, expected at least 1"),
}


@pytest.mark.parametrize("fields, message", BAD.values(), ids=BAD)
def test_bad_configs(fields, message):
    with pytest.raises(ValueError, match=message):
        CabcConfig(**fields)


def test_no_room(monkeypatch):
    monkeypatch.setattr("cssm.data.cabc._TRIES", 5)
    with pytest.raises(
        ValueError, match="letter_size: got 1000, expected one of which two letters find a place in size 350"
    ):
        scene(CabcConfig(letter_size=1000), 0, 0)
