"""Splits, frames and normalisation, against numbers written down."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from cssm.data.normalisation import IMAGENET, SYMMETRIC
from cssm.data.splits import pathfinder_split, pathtracker_split, shuffled
from cssm.data.subsample import frame_indices


def test_published_permutation():
    digest = hashlib.sha256(shuffled(1000).astype("<i8").tobytes()).hexdigest()
    assert digest == "57071745552bb2ef097e250edbaf6ddd14a4f0e478d31acfa6d0724b7c87fbd6"
    assert shuffled(1000)[:5].tolist() == [521, 737, 740, 660, 411]


def test_splits_are_a_partition():
    splits = pathfinder_split(25)
    assert {name: len(order) for name, order in splits.items()} == {"train": 20, "val": 2, "test": 3}
    np.testing.assert_array_equal(np.concatenate(list(splits.values())), shuffled(25))

    splits = pathtracker_split(30, 20, 5)
    order = shuffled(30)
    for name, part in (("train", order[:18]), ("val", order[18:20]), ("test", order[20:25])):
        np.testing.assert_array_equal(splits[name], part)
    with pytest.raises(ValueError, match="train, test: got 20000 and 2000, expected no more than the 21999"):
        pathtracker_split(21_999)


def test_frames():
    half = frame_indices(64, 32)
    assert (half[:5].tolist(), half[-3:].tolist(), len(set(half))) == ([0, 2, 4, 6, 8], [59, 61, 63], 32)
    assert frame_indices(64, 8).tolist() == [0, 9, 18, 27, 36, 45, 54, 63]
    assert frame_indices(4, 3).tolist() == [0, 2, 3]
    assert frame_indices(4, 3, truncate=True).tolist() == [0, 1, 3]
    assert frame_indices(5, 5).tolist() == [0, 1, 2, 3, 4]
    for kept in (0, 9):
        with pytest.raises(ValueError, match=f"num_frames: got {kept}, expected 1 to 8"):
            frame_indices(8, kept)


def test_normalisation():
    pixels = np.array([[0, 128, 255]], np.uint8)
    np.testing.assert_allclose(IMAGENET(pixels), [[-2.117904, 0.205182, 2.64]], rtol=1e-5)
    np.testing.assert_allclose(SYMMETRIC(pixels), pixels / 127.5 - 1, atol=1e-7)
    assert IMAGENET(pixels).dtype == np.float32
