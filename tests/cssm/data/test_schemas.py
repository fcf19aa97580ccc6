"""Published feature schemas: what is written, and what is read back."""

from __future__ import annotations

import numpy as np
import pytest
from cssm.data import example, schemas
from cssm.data.normalisation import IMAGENET
from cssm.data.schemas import dist15, image, jpeg, video

rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (4, 6), np.uint8)
RGB = rng.integers(0, 256, (4, 6, 3), np.uint8)
CLIP = rng.integers(0, 256, (5, 4, 6, 3), np.uint8)


def read(payload, schema):
    features = example.decode(payload)
    assert schemas.schema_of(features) is schema
    return schema.decode(features)


@pytest.mark.parametrize("pixels", [GREY, RGB], ids=("grey", "rgb"))
@pytest.mark.parametrize("encoding", image.ENCODINGS)
def test_images(pixels, encoding):
    payload = image.encode_image(pixels, 1, encoding)
    three = np.stack([pixels] * 3, axis=-1) if pixels.ndim == 2 else pixels
    expected = IMAGENET(three) if encoding == "float32" else three
    sample = read(payload, image)
    assert (sample["image"].dtype, sample["label"]) == (expected.dtype, 1)
    np.testing.assert_array_equal(sample["image"], expected)

    features = example.decode(payload)
    sizes = [int(features[key][0]) for key in ("height", "width", "channels")]
    assert sizes == [4, 6, 1 if pixels.ndim == 2 and encoding != "float32" else 3]
    if encoding == "uint8":
        assert features["image_u8"] == [pixels.tobytes()]
    if encoding == "float32":
        assert features.keys() == {"image", "label", "height", "width", "channels"}
        assert features["image"] == [expected.astype("<f4").tobytes()]


def test_clips():
    sample = read(video.encode_video(CLIP, 1), video)
    assert sample["label"] == 1
    np.testing.assert_array_equal(sample["video"], IMAGENET(CLIP))

    payload = dist15.encode_clip(CLIP, 1)
    assert example.decode(payload)["label"] == [b"\x01"]
    sample = read(payload, dist15)
    assert sample["label"] == 1
    np.testing.assert_array_equal(sample["video"], CLIP)


def test_frames_are_counted_by_bytes():
    features = example.decode(video.encode_video(CLIP, 0)) | {"num_frames": np.array([64])}
    assert video.decode(features)["video"].shape == CLIP.shape


def test_refused():
    with pytest.raises(ValueError, match=r"image: got \(4, 6\) float32, expected"):
        image.encode_image(IMAGENET(RGB)[..., 0], 0)
    with pytest.raises(ValueError, match="encoding: got 'jpeg', expected one of float32, uint8, png"):
        image.encode_image(GREY, 0, "jpeg")
    with pytest.raises(ValueError, match=r"video: got \(4, 6, 3\) uint8, expected \(F, H, W, 3\) uint8"):
        video.encode_video(RGB, 0)
    with pytest.raises(ValueError, match="label: got 256, expected 0 to 255"):
        dist15.encode_clip(CLIP, 256)
    with pytest.raises(ValueError, match=r"features: got image int64\[1\], label int64\[1\], expected those of"):
        schemas.schema_of({"image": np.array([1]), "label": np.array([1])})
    short = example.decode(image.encode_image(GREY, 0, "uint8")) | {"width": np.array([7])}
    with pytest.raises(ValueError, match=r"feature image_u8: got 24 bytes, expected 28 of \(4, 7, 1\) u1"):
        image.decode(short)
    many = example.decode(dist15.encode_clip(CLIP, 0)) | {"image": [b"", b""]}
    with pytest.raises(ValueError, match=r"feature image: got list, expected bytes\[1\]"):
        dist15.decode(many)


def test_jpeg_bytes_are_kept():
    features = example.decode(jpeg.encode_jpeg(b"\xff\xd8", 999))
    assert schemas.schema_of(features) is jpeg
    assert (features["image"], features["label"].tolist()) == ([b"\xff\xd8"], [999])
