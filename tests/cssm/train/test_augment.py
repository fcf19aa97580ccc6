"""Augmentations against Pillow's operations, and against what their definitions promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cssm.train.augment.erasing import random_erasing
from cssm.train.augment.mixing import cutmix, mix, mixup
from cssm.train.augment.pipeline import Augmentation
from cssm.train.augment.rand_augment import OPERATIONS, operate, rand_augment
from cssm.train.augment.three_augment import colour_jitter, three_augment
from PIL import Image, ImageEnhance, ImageOps

M = 6.0
FACTOR = 1 + 0.9 * M / 10
PILLOW = {
    "autocontrast": ImageOps.autocontrast,
    "equalise": ImageOps.equalize,
    "posterise": lambda image: ImageOps.posterize(image, 5),  # 8 - 2.4, whole
    "solarise": lambda image: ImageOps.solarize(image, 256 - 25.6 * M),
    "rotate": lambda image: image.rotate(3 * M, Image.Resampling.BILINEAR, fillcolor=(128,) * 3),
    "colour": lambda image: ImageEnhance.Color(image).enhance(FACTOR),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(FACTOR),
    "brightness": lambda image: ImageEnhance.Brightness(image).enhance(FACTOR),
    "sharpness": lambda image: ImageEnhance.Sharpness(image).enhance(FACTOR),
}


@pytest.fixture(scope="module")
def picture():
    """A smooth picture of levels 30 to 220, (24, 20, 3): interpolation and rounding then differ by little."""
    y, x = np.mgrid[:24, :20] / 24
    return np.stack([30 + 190 * y, 40 + 100 * x * y, 200 - 90 * np.sin(3 * x)], -1).round().astype(np.uint8)


@pytest.fixture(scope="module")
def operated(picture):
    """Every operation of magnitude 6 and sign 1, by name."""
    one = jax.jit(lambda which: operate(which, jnp.asarray(picture, jnp.float32), jnp.float32(M), jnp.float32(1)))
    return {name: np.asarray(one(i)) for i, name in enumerate(OPERATIONS)}


@pytest.mark.parametrize("name", PILLOW)
def test_operations_are_pillows(name, picture, operated):
    expected = np.asarray(PILLOW[name](Image.fromarray(picture))).astype(float)
    off = np.abs(operated[name] - expected)
    # Pillow turns in fixed point, and fades to the fill within another half pixel of the border.
    exact = name in ("equalise", "posterise", "solarise")
    assert (off > (0 if exact else 2)).mean() <= (0.08 if name == "rotate" else 0)


def test_shears_and_shifts(picture, operated):
    moved, source = operated, picture.astype(float)
    rows, columns = source.shape[:2]
    shift = 0.45 * columns * M / 10
    at = np.arange(columns) + shift
    inside = at <= columns - 1
    low = np.floor(at[inside]).astype(int)
    high, part = np.minimum(low + 1, columns - 1), (at[inside] - low)[:, None]
    expected = source[:, low] * (1 - part) + source[:, high] * part
    np.testing.assert_allclose(moved["translate_x"][:, inside], expected, atol=0.51)
    assert (moved["translate_x"][:, at > columns] == 128).all()
    down = 0.45 * rows * M / 10
    assert abs(moved["translate_y"][4] - source[round(4 + down)]).max() < 8, "half a row off, at most"
    # A shear moves opposite borders opposite ways, and leaves the middle.
    x_shift = 0.3 * M / 10 * (np.arange(rows) - (rows - 1) / 2)
    for row in (2, 21):
        at = np.clip(np.arange(columns) + x_shift[row], 0, columns - 1)
        blue = np.interp(at, np.arange(columns), source[row, :, 2])
        np.testing.assert_allclose(moved["shear_x"][row, 3:-3, 2], blue[3:-3], atol=0.51)
    y_shift = 0.3 * M / 10 * (np.arange(columns) - (columns - 1) / 2)
    red = np.interp(np.arange(rows) + y_shift[1], np.arange(rows), source[:, 1, 0])
    np.testing.assert_allclose(moved["shear_y"][3:-3, 1, 0], red[3:-3], atol=0.51)


def test_each_image_draws_its_own(picture):
    images = jnp.broadcast_to(jnp.asarray(picture) / 255.0, (16, 24, 20, 3))
    key = jax.random.PRNGKey(0)
    three = jax.jit(three_augment)
    for made in (jax.jit(rand_augment, static_argnums=2)(key, images, 1), three(key, images, 0.3)):
        assert len({one.tobytes() for one in np.asarray(made)}) > 8
    assert len({one.tobytes() for one in np.asarray(three(key, images, 0.0))}) == 3


def test_colour_jitter_keeps_what_it_scales_about(picture):
    image = jnp.asarray(picture[None]) / 255.0
    out = colour_jitter(jax.random.PRNGKey(3), image, 0.3)
    ratio = out.mean() / image.mean()
    assert 0.7 <= ratio <= 1.3, "contrast and saturation leave the mean, brightness scales it"
    assert abs(ratio - 1) > 1e-3


LABELS = jnp.eye(4)[jnp.array([0, 1, 2, 3, 0, 1])]
# The value of an image is its label: what was mixed can be read off.
IMAGES = jnp.broadcast_to(LABELS.argmax(-1).astype(float)[:, None, None, None], (6, 12, 10, 3))


def test_mixup_mixes_labels_as_images():
    images, labels = jax.jit(mixup, static_argnums=3)(jax.random.PRNGKey(1), IMAGES, LABELS, 0.8)
    np.testing.assert_allclose(labels.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(images[:, 0, 0, 0], labels @ jnp.arange(4.0), rtol=1e-5, atol=1e-6)
    assert ((labels > 0).sum(-1) == 2).any()


def test_cutmix_labels_are_the_shares_of_pixels():
    cut = jax.jit(cutmix, static_argnums=3)
    seen = []
    for seed in range(12):
        images, labels = cut(jax.random.PRNGKey(seed), IMAGES, LABELS, 1.0)
        shares = np.stack([(images[..., 0] == value).mean((1, 2)) for value in range(4)], -1)
        np.testing.assert_allclose(labels, shares, atol=1e-6)
        seen.append(float(labels.max(-1).min()))
    assert min(seen) < 1


def test_one_of_both_and_neither():
    key = jax.random.PRNGKey(5)
    chosen = jax.jit(
        lambda probability: mix(key, IMAGES, LABELS, mixup_alpha=0.8, cutmix_alpha=1.0, mixup_prob=probability)[0]
    )
    blended, cut = chosen(1.0), chosen(0.0)
    assert not (blended == blended.round()).all()
    assert (cut == cut.round()).all()
    assert (cut != IMAGES).any()
    assert (mix(key, IMAGES, LABELS, mixup_alpha=0.0, cutmix_alpha=0.0, mixup_prob=1.0)[0] == IMAGES).all()


def test_erased_boxes_are_within_bounds():
    count, height, width = 400, 40, 32
    out = np.asarray(random_erasing(jax.random.PRNGKey(0), jnp.ones((count, height, width, 1)), 0.25))[..., 0]
    erased = out[(out == 0).any((1, 2))] == 0
    assert 0.15 * count < len(erased) < 0.35 * count
    for box in erased:
        rows, columns = box.any(1), box.any(0)
        assert box.sum() == rows.sum() * columns.sum(), "a rectangle"
        # A side is off by half a pixel at most, and cut to the image.
        assert 0.02 * height * width - (rows.sum() + columns.sum()) / 2 - 1 <= box.sum()
        assert box.sum() <= 0.33 * height * width + (rows.sum() + columns.sum()) / 2 + 1
        assert rows.sum() / columns.sum() < (1 / 0.3) * 1.4
    assert np.ptp(erased.argmax(1).max(1)) > height / 4, "anywhere"


def test_unknown_kind():
    with pytest.raises(ValueError, match="kind: got 'autoaugment', expected one of randaugment, 3aug, none"):
        Augmentation("autoaugment")
