"""`cssm data make` and `cssm data inspect`: sets on disk that go on where they stopped, and what predictors make of them."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from cssm.cli import main
from cssm.data.cabc import CabcConfig
from cssm.data.inspect import Samples, accuracies, coloured_markers, read_samples
from cssm.data.make import make_set, metadata
from cssm.data.pathfinder import PathfinderConfig
from cssm.data.pathtracker import PathTrackerConfig, PathTrackerSource, clips
from cssm.data.probes import distance_accuracy, pixel_accuracy
from PIL import Image

SMALL = PathTrackerConfig(frames=4, distractors=1)


def files(root):
    return {p.relative_to(root): (p.read_bytes(), p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()}


def test_probes_find_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 2000)
    markers = np.zeros((2000, 2, 2))
    markers[:, 1, 0] = rng.normal(2.0 * label)
    assert distance_accuracy(markers, label) > 0.7
    assert distance_accuracy(markers, rng.permutation(label)) < 0.53
    pixels = rng.normal(size=(2000, 8, 8))
    assert pixel_accuracy(pixels, label) < 0.53
    pixels[:, 3, 3] += 2.0 * label
    assert pixel_accuracy(pixels, label) > 0.8
    with pytest.raises(ValueError, match="label: got 3 samples, expected at least 4"):
        pixel_accuracy(pixels[:3], label[:3])


def test_markers_are_found_by_their_colours():
    made = clips(PathTrackerConfig(), 0, range(20))
    found = coloured_markers(made.video)
    np.testing.assert_array_equal(found, np.floor(made.markers) + 1)  # the middle of an outline
    assert coloured_markers(made.video[..., :1]) is None
    samples = Samples.of(PathTrackerSource(PathTrackerConfig(), seed=0, count=20), range(20))
    np.testing.assert_array_equal(samples.markers, found)
    np.testing.assert_array_equal(samples.label, made.label)


def test_a_set_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("cssm.data.make.PART", 10)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    folder = make_set("pathtracker", whole, SMALL, 5, 23)
    made = metadata(folder)
    np.testing.assert_array_equal(made["index"], np.arange(23))
    direct = clips(SMALL, 5, range(23))
    np.testing.assert_array_equal(made["trajectories"], direct.trajectories)
    for i in (0, 11, 22):
        label = direct.label[i]
        np.testing.assert_array_equal(np.load(whole / f"{label}/{label}_sample_{i}.npy"), direct.video[i])

    class Stopped(Exception):
        pass

    def stop(done):
        if done >= 10:
            raise Stopped

    with pytest.raises(Stopped):
        make_set("pathtracker", stopped, SMALL, 5, 23, progress=stop)
    clip = next(path for path in sorted(files(stopped)) if path.suffix == ".npy")
    os.utime(stopped / clip, ns=(1, 1))
    (stopped / "metadata/0000000.npz").unlink()  # as if it stopped before the part was complete
    make_set("pathtracker", stopped, SMALL, 5, 23)
    have, want = files(stopped), files(whole)
    assert {path: content for path, (content, _) in have.items()} == {
        path: content for path, (content, _) in want.items()
    }
    assert have[clip][1] == 1  # it was kept

    with pytest.raises(ValueError, match="which has a set of another count and seed, expected a new directory"):
        make_set("pathtracker", stopped, SMALL, 6, 24)


def test_images_lie_where_the_converters_look(tmp_path):
    config = PathfinderConfig.scaled(6, distractors=0)
    pathfinder = make_set("pathfinder", tmp_path, config, 0, 6)
    cabc = make_set("cabc", tmp_path, CabcConfig("hard"), 0, 6, split="test")
    for folder, below in ((pathfinder, "curv_contour_length_6/imgs"), (cabc, "hard/images/test")):
        images, known = tmp_path / below, metadata(folder)
        assert len(known["label"]) == 6
        assert sum(1 for _ in images.rglob("*.png")) == 6
        for i, label in enumerate(known["label"]):
            (path,) = images.rglob(f"sample_{i:07d}.png")
            assert ("neg", "pos")[label] in path.relative_to(images).parts[0]
            with Image.open(path) as image:
                assert np.array(image)[tuple(known["markers"][i, 0])] == 255


def test_two_processes_make_the_same_set(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    config = PathfinderConfig.scaled(6, distractors=0)
    for out, workers in ((one, 1), (two, 2)):
        make_set("pathfinder", out, config, 0, 102, workers=workers)
    assert {p: content for p, (content, _) in files(one).items()} == {
        p: content for p, (content, _) in files(two).items()
    }


def test_from_the_command_line(tmp_path, capsys):
    out, png = tmp_path / "set", tmp_path / "grid.png"
    published = ["--set", "match_distance=False", "--set", "min_separation=0", "--set", "distractors=2"]
    assert main(["data", "make", "pathtracker", "--out", str(out), "--count", "300", *published]) == 0
    made = capsys.readouterr()
    assert made.out.startswith(f"{out}: 300 samples, ")
    assert made.err.startswith("\r0/300 samples, 0/s ")
    assert made.err.endswith("/s \n")
    assert json.loads((out / "metadata/generator.json").read_text())["config"]["min_separation"] == 0
    assert main(["data", "inspect", str(out), "--png", str(png)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("300 samples (F, H, W, C) = (32, 32, 32, 3), ")
    samples = read_samples(out, 1000)
    measured = accuracies(samples)
    assert measured["marker distance, 16 bins"] > 0.65
    assert f"  marker distance, 16 bins     {100 * measured['marker distance, 16 bins']:.1f}%\n" in text
    assert "  pixels of both " in text
    with Image.open(png) as image:
        assert np.array(image.convert("L")).mean() < 150  # samples are dark, and the paper is not
    (out / "metadata/generator.json").unlink()
    found = read_samples(out, 1000).markers
    hidden = np.isnan(found).any((1, 2))
    assert hidden.mean() < 0.02  # where the goal's marker lies on the start's
    np.testing.assert_allclose(found[~hidden], np.floor(samples.markers[~hidden]) + 1, atol=1)  # or on a part of it


BAD = {
    "field": (
        ["make", "cabc", "--set", "colour=1", "--out", "{}", "--count", "1"],
        "unexpected keyword argument 'colour'",
    ),
    "value": (
        ["make", "pathfinder", "--set", "margin=0", "--out", "{}", "--count", "1"],
        "margin: got 0, expected at least 1",
    ),
    "seed": (
        ["make", "pathtracker", "--seed", "-1", "--out", "{}", "--count", "1"],
        "--seed: got -1, expected a non-neg",
    ),
    "nothing there": (["inspect", "{}"], "with 0 samples, expected 4 or more of both labels"),
    "picture": (["inspect", "{}", "--png", "{}/no/a.png"], "no/a.png', expected a path in a directory that exists"),
}


@pytest.mark.parametrize("argv, message", BAD.values(), ids=BAD)
def test_bad_input(argv, message, tmp_path, capsys):
    assert main(["data", *(part.format(tmp_path) for part in argv)]) == 2
    assert message in capsys.readouterr().err
