"""cABC (cluttered ABC): do the two discs lie on one letter?

Two letters, each scaled, turned, sheared and bent, and drawn as jittered cells of which some are missing. The second disc is
at the same distance from the first whatever the label, as published: marker distance says nothing here. Source: data
specification 12.

Letters are strokes of our own, so that the thickness of a stroke is constant by construction, and need not be restored
after each of the transforms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cssm.data.generated import GeneratedSource, check_at_least, sample_rng
from cssm.data.letters import LETTERS, strokes
from cssm.data.paddles import disc

_BUMPS = 10
_BUMP_VARIANCE = 12_000.0
_BEND = 0.24 * 128  # times the slope of a landscape of height 255: 128 is what a 5x5 Sobel filter makes of a slope of 1
_CELL_SHARE = 0.3
_DROPPED = 0.2
_JITTER = 2.0
_GAP = 25.0
_OVERLAP = (0.01, 0.15)
_RIM = 3
_RADII = 10
_TRIES = 10_000
_SPACING = 1 / 160


@dataclass(frozen=True)
class Difficulty:
    """Standard deviations (shared by both letters, of each letter) and how letters lie about the middle.

    Fields:
      scale: of the power of 1/2 that scales an axis.
      rotation: degrees.
      shear: of the slope.
      radius: range of the distance of the letters' middles from the image's.
      separation: least angle between them, in degrees.
    """

    scale: tuple[float, float]
    rotation: tuple[float, float]
    shear: tuple[float, float]
    radius: tuple[float, float]
    separation: float


DIFFICULTIES = {
    "easy": Difficulty((0.5, 0.001), (30, 0.001), (0.2, 0.001), (50, 60), 170),
    "medium": Difficulty((0.354, 0.354), (21.2, 21.2), (0.141, 0.141), (40, 70), 110),
    "hard": Difficulty((0.001, 0.5), (0.001, 30), (0.001, 0.2), (30, 80), 60),
}


@dataclass(frozen=True)
class CabcConfig:
    """What an image is like; the defaults are the published set's but for the letters' shapes and size.

    Fields:
      difficulty: "easy", "medium" or "hard", of increasing variance between the two letters.
      size: of the image, in pixels.
      output_size: the image is reduced to this size (None: not).
      letter_size: side of a letter's box before its transforms.
      thickness: of a stroke.
      cell: side of the cells.
      marker_radius: of the discs.
      touch: letters overlap by 1 to 15% of the smaller; False: they stay 25 pixels apart.

    Raises:
      ValueError: a field out of range.
    """

    difficulty: str = "easy"
    size: int = 350
    output_size: int | None = None
    letter_size: int = 120
    thickness: int = 7
    cell: int = 5
    marker_radius: int = 11
    touch: bool = True

    def __post_init__(self):
        if self.difficulty not in DIFFICULTIES:
            raise ValueError(f"difficulty: got {self.difficulty!r}, expected one of {', '.join(DIFFICULTIES)}")
        check_at_least(self, size=200, letter_size=20, thickness=1, cell=1, marker_radius=1)
        if self.output_size is not None:
            check_at_least(self, output_size=1)
        if self.size % self.cell:
            raise ValueError(f"cell: got {self.cell}, expected a divisor of size {self.size}")


@dataclass(frozen=True)
class Scene:
    """An image and what is in it, in pixels of `config.size`.

    Fields:
      image: (size, size), uint8, reduced to output_size where that is set.
      label: 1 where both discs are on one letter.
      markers: (2, 2), (row, column); the first is on the first letter.
      masks: (2, size, size), bool, the letters before they are made of cells.
      letters: which they are.
    """

    image: np.ndarray
    label: int
    markers: np.ndarray
    masks: np.ndarray
    letters: str


def scene(config: CabcConfig, seed: int, index: int) -> Scene:
    """The image of this index, a function of (config, seed, index) alone.

    Raises:
      ValueError: letters of this size cannot be placed.
    """
    rng = sample_rng(seed, index)
    label = int(rng.random() < 0.5)
    for _ in range(_TRIES):
        letters = "".join(LETTERS[int(rng.random() * len(LETTERS))] for _ in range(2))
        radius, lines = _placed(config, letters, rng)
        if not all((line > config.thickness).all() and (line < config.size - config.thickness).all() for line in lines):
            continue
        masks = np.stack([_stroked(config, line) for line in lines])
        if not _well_apart(config, lines, masks):
            continue
        markers = _markers(config, lines, radius, label, rng)
        if markers is None:
            continue
        image = np.maximum(*(_cells(config, mask, rng) for mask in masks))
        for marker in markers:
            _draw_marker(image, marker, config.marker_radius)
        if config.output_size is not None:
            image = np.array(Image.fromarray(image).resize(2 * (config.output_size,), Image.Resampling.BILINEAR))
        return Scene(image, label, markers, masks, letters)
    raise ValueError(
        f"letter_size: got {config.letter_size}, expected one of which two letters find a place in size {config.size}: "
        f"none found in {_TRIES} tries"
    )


def _placed(config: CabcConfig, letters: str, rng: np.random.Generator) -> tuple[float, list[np.ndarray]]:
    """(distance of letters from the middle, the points (n, 2) as (row, column) of each one's strokes)."""
    level = DIFFICULTIES[config.difficulty]
    radius = level.radius[0] + rng.random() * (level.radius[1] - level.radius[0])
    first = 360 * rng.random()
    apart = level.separation + rng.random() * (360 - 2 * level.separation)
    shared = _affine(level, 0, rng)
    middle = config.size / 2
    lines = []
    for letter, angle in zip(letters, (first, first + apart)):
        points = config.letter_size * strokes(letter, _SPACING)[:, ::-1] @ (_affine(level, 1, rng) @ shared).T
        points = _bent(config, middle + points, rng)
        turn = math.radians(angle)
        centre = middle + radius * np.array([math.sin(turn), math.cos(turn)])
        points += centre - points.mean(0)
        lines.append(np.rint(points * 256) / 256)  # a last bit must not move a pixel
    return radius, lines


def _affine(level: Difficulty, which: int, rng: np.random.Generator) -> np.ndarray:
    """Shear, scale and rotation by normal numbers cut off at two standard deviations, one sign for both axes' scale."""
    power_x, power_y, degrees, slope = _cut_normal(rng, 4)
    sign = math.copysign(1, power_x)
    scale = 0.5 ** (level.scale[which] * sign * np.abs([power_y, power_x]))
    turn = math.radians(level.rotation[which] * degrees)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return rotation @ np.diag(scale) @ np.array([[1, 0], [level.shear[which] * slope, 1]])


def _cut_normal(rng: np.random.Generator, count: int) -> np.ndarray:
    """Normal numbers of absolute value at most 2."""
    out = np.empty(0)
    while len(out) < count:
        x = rng.standard_normal(2 * count)
        out = np.concatenate([out, x[np.abs(x) <= 2]])
    return out[:count]


def _bent(config: CabcConfig, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points moved along the slope of a landscape of Gaussian hills and hollows, scaled to heights of 0 to 255."""
    peak = rng.random((_BUMPS, 2)) * config.size
    height = np.where(rng.random(_BUMPS) < 0.5, -1.0, 1.0)

    def along(axis: int, at: np.ndarray) -> np.ndarray:  # a Gaussian is the product of one along each axis
        return np.exp(-((at[:, None] - peak[:, axis]) ** 2) / (2 * _BUMP_VARIANCE))

    coarse = np.arange(0, config.size, 10)
    landscape = along(0, coarse) * height @ along(1, coarse).T
    bumps = height * along(0, points[:, 0]) * along(1, points[:, 1])
    slope = (bumps @ peak - bumps.sum(1, keepdims=True) * points) / _BUMP_VARIANCE
    return points + _BEND * 255 / (landscape.max() - landscape.min()) * slope


def _stroked(config: CabcConfig, line: np.ndarray) -> np.ndarray:
    """(size, size), bool: within half a thickness of the line."""
    mask = np.zeros(2 * (config.size,), bool)
    pixel = np.unique(np.floor(line).astype(int), axis=0)
    at = pixel[:, None] + disc(config.thickness // 2)
    mask[at[..., 0], at[..., 1]] = True
    return mask


def _well_apart(config: CabcConfig, lines: list[np.ndarray], masks: np.ndarray) -> bool:
    if config.touch:
        share = (masks[0] & masks[1]).sum() / masks.sum((1, 2)).min()
        return bool(_OVERLAP[0] <= share <= _OVERLAP[1])
    return bool(_squared_distance(lines[0], lines[1]).min() >= (_GAP + config.thickness) ** 2)


def _squared_distance(line: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n,) to the nearest of every fourth point of the other."""
    rows, columns = (line[:, None, axis] - other[::4, axis] for axis in (0, 1))
    return (rows * rows + columns * columns).min(1)


def _markers(config: CabcConfig, lines: list[np.ndarray], radius: float, label: int, rng) -> np.ndarray | None:
    """A disc on the first letter, and one on either as far from it; both where the other letter is not near.

    The distance is one at which a circle about the first disc crosses both letters.
    """
    clear = (2.5 * config.thickness) ** 2
    alone = [a[_squared_distance(a, b) > clear] for a, b in (lines, lines[::-1])]
    if not all(map(len, alone)):
        return None
    off_middle = ((alone[0] - config.size / 2) ** 2).sum(-1)
    first = np.floor(_choose(alone[0], np.exp(-off_middle / (2 * (config.size / 3) ** 2)), rng))
    pixels = [np.floor(points) for points in alone]
    distance = [np.sqrt(((points - first) ** 2).sum(-1)) for points in pixels]
    least = 2 * config.marker_radius + 1
    most = min(3 * radius, *(d.max() for d in distance))
    if most <= least:
        return None
    for _ in range(_RADII):
        wanted = least + rng.random() * (most - least)
        near = [np.abs(d - wanted) <= 0.5 for d in distance]
        if all(n.any() for n in near):
            which = 1 - label
            second = pixels[which][near[which]]
            return np.stack([first, second[int(rng.random() * len(second))]]).astype(int)
    return None


def _choose(points: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    upto = np.rint(weight * 2**20).astype(np.int64).cumsum()
    return points[upto.searchsorted(int(rng.random() * int(upto[-1])), side="right")]


def _cells(config: CabcConfig, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A letter as squares: of the cells it fills by more than 0.3, four in five, each moved a little."""
    side = config.cell
    count = config.size // side
    filled = mask.reshape(count, side, count, side).sum((1, 3)) > _CELL_SHARE * side**2
    cell = np.argwhere(filled)
    moved = cell * side + np.rint(_JITTER * _cut_normal(rng, 2 * len(cell)).reshape(-1, 2)).astype(int)
    corner = moved[rng.random(len(cell)) >= _DROPPED]
    reach = math.ceil(2 * _JITTER)
    image = np.zeros(2 * (config.size + 2 * reach,), np.uint8)
    within = np.arange(side) + reach
    image[corner[:, 0, None, None] + within[:, None], corner[:, 1, None, None] + within] = 255
    return image[reach:-reach, reach:-reach]


def _draw_marker(image: np.ndarray, marker: np.ndarray, radius: int) -> None:
    """A bright disc, and a dark rim around it."""
    for reach, value in ((radius + _RIM, 0), (radius, 255)):
        at = marker + disc(reach)
        at = at[((at >= 0) & (at < len(image))).all(1)]
        image[at[:, 0], at[:, 1]] = value


class CabcSource(GeneratedSource):
    """Images made as they are asked for: source[i] is {"image": uint8 (size, size, 3) of equal channels, "label": int}."""

    config: CabcConfig

    def sample(self, index: int) -> dict[str, np.ndarray | int]:
        made = scene(self.config, self.seed, index)
        return {"image": np.repeat(made.image[..., None], 3, -1), "label": made.label}
