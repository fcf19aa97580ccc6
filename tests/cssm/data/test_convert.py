"""`cssm data convert` and `check`, from the published layouts on disk to what loaders read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cssm.cli import main
from cssm.data import example
from cssm.data.normalisation import IMAGENET
from cssm.data.record_source import RecordSource
from cssm.data.registry import Request
from cssm.data.sets.contours import open_cabc, open_pathfinder
from cssm.data.sets.pathtracker import open_girik, open_pathtracker
from cssm.data.splits import shuffled
from PIL import Image


def grey_tree(folder, count, name="{}.png"):
    """`count` PNG files of 6 x 6 for neg and pos, all of one grey: 10 label + number."""
    for label, side in enumerate(("neg", "pos")):
        for number in range(count):
            path = folder / side / name.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (6, 6), 10 * label + number).save(path)


def clips(folder, count):
    """`count` clips (8, 4, 4, 3) for 0 and 1; pixels are 8 (count label + number) + frame."""
    for label in (0, 1):
        (folder / str(label)).mkdir(parents=True)
        for number in range(count):
            frames = 8 * (count * label + number) + np.arange(8, dtype=np.uint8)
            np.save(
                folder / str(label) / f"{label}_sample_{number}.npy",
                np.broadcast_to(frames[:, None, None, None], (8, 4, 4, 3)),
            )


def test_pathfinder(tmp_path, capsys):
    grey_tree(tmp_path / "curv_contour_length_9" / "imgs", 10)
    arguments = ["data", "convert", "pathfinder", str(tmp_path), str(tmp_path / "out"), "--difficulty", "9"]
    assert main([*arguments, "--image-size", "4"]) == 0
    assert capsys.readouterr().out.endswith("16 train, 2 val, 2 test\n")
    metadata = json.loads((tmp_path / "out" / "difficulty_9" / "metadata.json").read_text())
    assert metadata == {
        "difficulty": 9,
        "encoding": "float32",
        "image_size": 4,
        "seed": 42,
        "total_samples": 20,
        "train_ratio": 0.8,
        "val_ratio": 0.1,
        "train_samples": 16,
        "val_samples": 2,
        "test_samples": 2,
        "train_shards": 1,
        "val_shards": 1,
        "test_shards": 1,
    }
    seen = []
    for split in ("train", "val", "test"):
        for root, difficulty in ((tmp_path / "out", 9), (tmp_path / "out" / "difficulty_9", None)):
            data = open_pathfinder(Request(split, root, difficulty=difficulty))
        assert data.counts == {"train": 16, "val": 2, "test": 2}
        seen += [data.source[i] for i in range(len(data.source))]
        tree = open_pathfinder(Request(split, tmp_path, image_size=4, difficulty=9))
        stored = open_pathfinder(Request(split, tmp_path / "out", difficulty=9)).source
        assert tree.counts == data.counts
        for i in range(len(stored)):
            np.testing.assert_array_equal(IMAGENET(tree.source[i]["image"]), stored[i]["image"])
    greys = np.array(shuffled(20), np.uint8)
    assert [sample["label"] for sample in seen] == (greys >= 10).tolist()
    for grey, sample in zip(greys, seen):
        np.testing.assert_array_equal(sample["image"], IMAGENET(np.full((4, 4, 3), grey, np.uint8)))

    assert main(arguments) == 2
    assert "expected none of a set" in capsys.readouterr().err


def test_cabc(tmp_path, capsys):
    grey_tree(tmp_path / "easy" / "images" / "train", 3, "a/{}.png")
    grey_tree(tmp_path / "easy" / "images" / "test", 1, "b/{}.png")
    arguments = [
        "data",
        "convert",
        "cabc",
        str(tmp_path),
        str(tmp_path / "out"),
        "--encoding",
        "png",
        "--image-size",
        "6",
    ]
    assert main([*arguments, "--difficulty", "easy"]) == 0
    metadata = json.loads((tmp_path / "out" / "easy" / "metadata.json").read_text())
    assert [metadata[f"{split}_{sign}"] for split in ("train", "test") for sign in ("pos", "neg")] == [3, 3, 1, 1]
    data = open_cabc(Request("train", tmp_path / "out", difficulty="easy"))
    greys = [int(data.source[i]["image"][0, 0, 0]) for i in range(6)]
    assert greys == [(0, 1, 2, 10, 11, 12)[i] for i in shuffled(6)]
    assert len(open_cabc(Request("val", tmp_path / "out", difficulty="easy")).source) == 2

    assert main([*arguments, "--difficulty", "hardest"]) == 2
    assert "difficulty: got 'hardest', expected one of easy, medium, hard" in capsys.readouterr().err
    assert main([*arguments, "--difficulty", "hard"]) == 2
    assert "neg: expected */*.png in it" in capsys.readouterr().err


def test_pathtracker_legacy(tmp_path, capsys):
    clips(tmp_path / "raw", 12)
    arguments = ["data", "convert", "pathtracker", str(tmp_path / "raw"), str(tmp_path / "out"), "--test", "4"]
    assert main([*arguments, "--train", "20", "--num-frames", "3"]) == 0
    first = []
    for split, count in (("train", 18), ("val", 2), ("test", 4)):
        source = open_pathtracker(Request(split, tmp_path / "out")).source
        assert len(source) == count
        first += [source[i] for i in range(count)]
    for index, sample in zip(shuffled(24), first):
        frames = (8 * index + np.array([0, 3, 7])).astype(np.uint8)
        np.testing.assert_array_equal(sample["video"][:, 0, 0], IMAGENET(np.stack([frames] * 3, axis=-1)))
        assert sample["label"] == (index >= 12)

    assert main([*arguments, "--train", "21"]) == 2
    assert "expected no more than the 24 samples there are" in capsys.readouterr().err


def test_pathtracker_gzip(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("cssm.data.convert.pathtracker.GZIP_PER_SHARD", 2)
    clips(tmp_path / "raw", 3)
    out = tmp_path / "out"
    arguments = ["data", "convert", "pathtracker", str(tmp_path / "raw"), str(out), "--gzip"]
    assert main([*arguments, "--train", "4", "--test", "2"]) == 0
    names = ["test-batch_0--00000-of-00001", "train-batch_0--00000-of-00002", "train-batch_0--00001-of-00002"]
    assert sorted(path.name for path in out.iterdir()) == names
    order = shuffled(6)
    parts = {"train": order[:2], "val": order[2:4], "test": order[4:6]}
    for open_set in (open_girik, open_pathtracker):
        for split, part in parts.items():
            source = open_set(Request(split, out, cache=tmp_path / "cache")).source
            assert [int(source[i]["video"][0, 0, 0, 0]) // 8 for i in range(len(source))] == part.tolist()
    assert open_girik(Request("val", out)).normalisation.mean == (0.5, 0.5, 0.5)

    assert main([*arguments, "--num-frames", "2"]) == 2
    assert "--num-frames: got it with --gzip" in capsys.readouterr().err


def test_check(tmp_path, capsys):
    grey_tree(tmp_path / "curv_contour_length_14" / "imgs", 10)
    out = tmp_path / "out"
    convert = ["data", "convert", "pathfinder", str(tmp_path), str(out), "--difficulty", "14", "--encoding", "uint8"]
    assert main([*convert, "--image-size", "4"]) == 0
    capsys.readouterr()
    assert main(["data", "check", str(out)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["total_files"], report["total_records"], report["corrupted_files"]) == (3, 20, [])

    train, val, test = (out / "difficulty_14" / split / "shard_00000.tfrecord" for split in ("train", "val", "test"))
    data = bytearray(train.read_bytes())
    size = len(data) // 16
    data[3 * size + 20] ^= 1
    data[9 * size] ^= 1  # a length: nothing after it can be found
    train.write_bytes(data)
    val.write_bytes(val.read_bytes()[:-1])
    from cssm.data.tfrecord import write_records

    write_records(test, [example.encode({"label": 1})])
    assert main(["data", "check", str(out)]) == 1
    report = json.loads(capsys.readouterr().out)
    bad = {entry["file"]: entry["corrupted_records"] for entry in report["corrupted_files"]}
    assert [(entry["record"], entry["offset"]) for entry in bad[str(train)]] == [(3, 3 * size), (9, 9 * size)]
    assert [(entry["record"], entry["offset"]) for entry in bad[str(val)]] == [(1, size)]
    assert bad[str(test)][0]["reason"].startswith("features: got label int64[1]")
    assert report["total_corrupted_images"] == 4
    assert report["records"][str(train)] == 9

    source = RecordSource([test])
    with pytest.raises(ValueError, match=r"test/shard_00000\.tfrecord, record at byte 0: features: got"):
        source[0]
    assert main(["data", "check", str(tmp_path / "nothing")]) == 2
    assert "expected a record file, or a directory of" in capsys.readouterr().err


MISSING = {
    "root": (Request("train"), "root: got None, expected a directory"),
    "split": (Request("training"), "split: got 'training', expected one of train, val, test"),
    "difficulty": (Request("train", difficulty=25), "difficulty: got 25, expected a directory difficulty_25 in"),
    "shards": (Request("train"), r"root: got .*, expected train/\*.tfrecord in it"),
}


@pytest.mark.parametrize("case", MISSING)
def test_missing(case, tmp_path):
    request, message = MISSING[case]
    root = None if case == "root" else tmp_path
    with pytest.raises(ValueError, match=message):
        open_pathfinder(Request(request.split, root, difficulty=request.difficulty))
