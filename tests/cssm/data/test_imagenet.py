"""ImageNet and Imagenette: folders, record files, classes, crops."""

from __future__ import annotations

import numpy as np
import pytest
from cssm.cli import main
from cssm.data.imagenet_listing import list_flat_val
from cssm.data.loader import make_loader
from cssm.data.pictures import centre_box, open_rgb, random_box, resized
from cssm.data.sets.imagenet import IMAGENETTE
from PIL import Image

WNIDS = ("n00000002", "n00000010", "n00000100")


def jpeg(path, grey, size=(48, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (grey, grey, grey)).save(path, "jpeg", quality=95)


@pytest.fixture
def root(tmp_path):
    """Two images a class; greys are 60 class + 10 number."""
    for label, wnid in enumerate(WNIDS):
        for number in range(2):
            jpeg(tmp_path / "train" / wnid / f"{wnid}_{number}.JPEG", 60 * label + 10 * number)
    return tmp_path


def seen(loader):
    """(grey, label) of every sample; greys to the nearest ten."""
    return sorted(
        (round(float(image.mean()) / 10) * 10, int(label))
        for batch in loader
        for image, label in zip(batch["image"], batch["label"])
    )


EXPECTED = [(60 * label + 10 * number, label) for label in range(3) for number in range(2)]


def test_folders_and_records(root, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["data", "convert", "imagenet", str(root), str(out), "--split", "train", "--shards", "2"]) == 0
    names = ["train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord"]
    assert sorted(path.name for path in (out / "train").iterdir()) == names
    for where in (root, out):
        loader = make_loader("imagenet", "train", 3, image_size=16, root=where)
        assert (loader.info.num_classes, loader.info.shape, loader.info.dtype) == (3, (16, 16, 3), np.uint8)
        assert seen(loader) == EXPECTED
    assert main(["data", "check", str(out)]) == 0
    (out / "train_class_mapping.txt").unlink()
    with pytest.raises(ValueError, match=r"expected a class mapping: train_class_mapping\.txt, folders"):
        make_loader("imagenet", "train", 3, root=out)


def test_flat_val(root, tmp_path):
    for number, label in enumerate((2, 0, 1)):
        jpeg(tmp_path / "val" / f"ILSVRC2012_val_{number:08d}.JPEG", 60 * label)
    truth = tmp_path / "ILSVRC2012_validation_ground_truth.txt"
    with pytest.raises(ValueError, match="got a flat val, expected its labels in ILSVRC2012"):
        make_loader("imagenet", "val", 3, root=root)

    truth.write_text("\n".join(WNIDS[i] for i in (2, 0, 1)))
    loader = make_loader("imagenet", "val", 3, image_size=16, root=root)
    assert seen(loader) == [(0, 0), (60, 1), (120, 2)]

    truth.write_text("1 3 2\n")
    with pytest.raises(ValueError, match=r"expected meta\.mat to tell their wnids; .* has no file of them"):
        make_loader("imagenet", "val", 3, root=root)
    synsets = tmp_path / "synset_words.txt"
    synsets.write_text("".join(f"{wnid} a thing\n" for wnid in WNIDS))
    with pytest.raises(ValueError, match="a synset file sorted by wnid, which says nothing of ids"):
        make_loader("imagenet", "val", 3, root=root)
    synsets.write_text("".join(f"{WNIDS[i]} a thing\n" for i in (2, 1, 0)))
    assert [label for _, label in list_flat_val(root, WNIDS)] == [2, 0, 1]

    from scipy.io import savemat

    rows = np.array([(i + 1, WNIDS[(i + 1) % 3]) for i in range(3)], [("ILSVRC2012_ID", "i4"), ("WNID", "U9")])
    savemat(tmp_path / "meta.mat", {"synsets": rows})
    assert [label for _, label in list_flat_val(root, WNIDS)] == [1, 0, 2]
    truth.write_text("1 3\n")
    with pytest.raises(ValueError, match="got 2 labels, expected 3, one an image"):
        make_loader("imagenet", "val", 3, root=root)
    truth.write_text("1 3 4\n")
    with pytest.raises(ValueError, match="got 4, expected one of 3 classes"):
        make_loader("imagenet", "val", 3, root=root)


@pytest.mark.parametrize(("length", "reason"), [(2, "no kind of image that is known$"), (300, "[Tt]runcated")])
def test_undecodable_images_are_skipped(root, length, reason):
    bad = root / "train" / WNIDS[1] / f"{WNIDS[1]}_0.JPEG"
    bad.write_bytes(bad.read_bytes()[:length])
    loader = make_loader("imagenet", "train", 6, image_size=8, root=root, prefetch=0)
    with pytest.warns(UserWarning, match=rf"{bad.name} is skipped: .*{reason}"):
        got = seen(loader)
    assert got == [*EXPECTED[:2], EXPECTED[3], EXPECTED[3], *EXPECTED[4:]]


def test_imagenette(tmp_path):
    for label, wnid in enumerate(IMAGENETTE):
        jpeg(tmp_path / "val" / wnid / "a.JPEG", 20 * label)
    loader = make_loader("imagenette", "val", 4, image_size=8, root=tmp_path)
    assert seen(loader) == [(20 * label, label) for label in range(10)]
    assert loader.info.num_classes == 10
    jpeg(tmp_path / "val" / "n99999999" / "a.JPEG", 0)
    with pytest.raises(ValueError, match="got a folder n99999999, expected those of 10 classes"):
        make_loader("imagenette", "val", 4, root=tmp_path)


def test_augmentation_is_drawn_again_in_each_epoch(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8)[:, None], (48, 64, 3))
    path = tmp_path / "train" / WNIDS[0] / "a.JPEG"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.ascontiguousarray(ramp)).save(path, quality=95)
    loader = make_loader("imagenet", "train", 1, image_size=8, root=tmp_path)
    rows = [next(iter(loader))["image"][0, 4, :, 0].astype(int) for _ in range(24)]
    rises = [row[-1] > row[0] for row in rows]
    assert 5 < sum(rises) < 19  # half of them are flipped
    assert len({tuple(row) for row in rows}) > 16


def test_boxes():
    rng = np.random.default_rng(0)
    boxes = np.array([random_box(500, 375, rng) for _ in range(1000)])
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= (500, 375)).all()
    area = w * h / (500 * 375)
    assert (area.min() < 0.1, area.min() > 0.078, area.max() > 0.95) == (True, True, True)
    assert (w / h).min() == pytest.approx(3 / 4, rel=0.03)
    assert (w / h).max() == pytest.approx(4 / 3, rel=0.03)
    assert random_box(1000, 2, rng) == (498.5, 0, 501.5, 2)
    assert centre_box(512, 256, 256 / 224) == (144, 16, 368, 240)


def test_crops_are_where_they_should_be(tmp_path):
    # a gradient large enough that Pillow decodes it at a quarter
    x, y = np.meshgrid(np.linspace(0, 255, 512), np.linspace(0, 255, 256))
    Image.fromarray(np.stack([x, y, x], axis=-1).astype(np.uint8)).save(tmp_path / "a.jpg", quality=98)
    content = (tmp_path / "a.jpg").read_bytes()
    crop = resized(content, (128, 64, 384, 192), 32)
    assert crop.shape == (32, 32, 3)
    expected = (64 + 128 * (np.arange(32) + 0.5) / 32) / 256 * 255
    np.testing.assert_allclose(crop[:, :, 1].mean(1), expected, atol=2)
    expected = (128 + 256 * (np.arange(32) + 0.5) / 32) / 512 * 255
    np.testing.assert_allclose(crop[:, :, 0].mean(0), expected, atol=2)
    assert open_rgb(content).shape == (256, 512, 3)
