"""Pathfinder: do the two discs lie on one contour?

Two contours of paddles among shorter distractors. One disc is at the start of a contour; the other at the end of the same
one (label 1), or of the other one (label 0). Source: data specification 10, and the small-task specification 1 for
`match_distance`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from cssm.data.contours import Canvas, Contour
from cssm.data.generated import GeneratedSource, check_at_least, sample_rng
from cssm.data.paddles import DEGREES, Paddles, disc, paddles
from cssm.data.pathfinder_targets import matched, together

_PLACES_A_DRAW = 64
_PLACES = 320  # at 1% of free area, the published bound, all are taken once in 25 times


@dataclass(frozen=True)
class PathfinderConfig:
    """What an image is like; the defaults are the published set, with its shortcut closed.

    Fields:
      contour_length: paddles of each of the two contours, 6 to 25.
      size: of the image, in pixels.
      output_size: the image is drawn at `size` and reduced to this one, as the published sets are (None: not).
      padding: width of the border that stays empty.
      antialias: factor at which paddles are drawn before they are reduced.
      seed_distance: between the starts of the two contours.
      marker_radius: of the discs.
      distractors: contours beside the two, as many of them as find room.
      distractor_length: their paddles (None: a third of contour_length).
      paddle_length, paddle_thickness, margin: of a paddle, and what stays free around it.
      continuity: of contours; 1.8 turns by less than 50 degrees a paddle, 0.8 by more than 90.
      segment_retries, contour_retries: further heads tried for a paddle, further starts for a distractor.
      match_distance: the end of either contour is as far from the marked start, so that the distance of the discs says
        nothing. False: the published procedure, where it gives the label away.
      distance_tolerance: of those distances, in pixels.
      match_orientation: both contours end in the same direction, so that the directions at the discs say nothing. For
        contours so short that both ends of one point in related directions: of three paddles of continuity 4, orientations
        alone tell 83 %. Only with match_distance.

    Raises:
      ValueError: a field out of range, or a border and a seed distance that leave no room.
    """

    contour_length: int = 14
    size: int = 300
    output_size: int | None = None
    padding: int = 22
    antialias: int = 2
    seed_distance: int = 27
    marker_radius: int = 5
    distractors: int = 15
    distractor_length: int | None = None
    paddle_length: int = 5
    paddle_thickness: float = 2
    margin: int = 3
    continuity: float = 1.8
    segment_retries: int = 2
    contour_retries: int = 4
    match_distance: bool = True
    distance_tolerance: float = 0.5
    match_orientation: bool = False

    def __post_init__(self):
        check_at_least(
            self, contour_length=2, size=16, padding=0, antialias=1, seed_distance=1, marker_radius=1, distractors=0
        )
        check_at_least(self, paddle_length=1, paddle_thickness=1 / self.antialias, margin=1, continuity=0.5)
        check_at_least(self, segment_retries=0, contour_retries=0, distance_tolerance=0)
        for name in ("output_size", "distractor_length"):
            if getattr(self, name) is not None:
                check_at_least(self, **{name: 1})
        if self.paddle_thickness * self.antialias % 1:
            raise ValueError(
                f"paddle_thickness, antialias: got {self.paddle_thickness} and {self.antialias}, expected a whole product"
            )
        if self.match_orientation and not self.match_distance:
            raise ValueError("match_orientation: got True, expected match_distance with it")
        if self.size <= 4 * self.seed_distance:
            raise ValueError(
                f"seed_distance: got {self.seed_distance}, expected less than a quarter of size {self.size}: contours start "
                "twice as far from the border"
            )

    @classmethod
    def scaled(cls, contour_length: int = 14, **fields: Any) -> PathfinderConfig:
        """Drawn at 128 x 128 with lengths scaled to it, much faster than 300 x 300 reduced."""
        lengths = dict(size=128, padding=9, antialias=4, seed_distance=12, marker_radius=2)
        paddle = dict(paddle_length=3, paddle_thickness=1, margin=1)
        return cls(**{"contour_length": contour_length, **lengths, **paddle, **fields})

    @property
    def distractor_paddles(self) -> int:
        """Paddles of a distractor."""
        return max(1, self.contour_length // 3) if self.distractor_length is None else self.distractor_length


@dataclass(frozen=True)
class Scene:
    """An image and what is in it, in pixels of `config.size`.

    Fields:
      image: (size, size), uint8, reduced to output_size where that is set.
      label: 1 where both discs are on one contour.
      markers: (2, 2), (row, column) of the disc at a start and of that at an end.
      contours: (2, contour_length + 1, 2), the marked start's polyline and the other.
      targets: (size, size), uint8, the two contours alone.
      stamps: (row, column, degrees) of the paddles of every contour, the two targets first.
    """

    image: np.ndarray
    label: int
    markers: np.ndarray
    contours: np.ndarray
    targets: np.ndarray
    stamps: list[list[tuple[int, int, int]]]

    @property
    def distractors(self) -> int:
        """How many found room."""
        return len(self.stamps) - 2


def scene(config: PathfinderConfig, seed: int, index: int) -> Scene:
    """The image of this index, a function of (config, seed, index) alone.

    Raises:
      ValueError: no two contours of this length fit.
    """
    rng = sample_rng(seed, index)
    tables = paddles(config.paddle_length, config.paddle_thickness, config.margin, config.antialias, config.continuity)
    label = int(rng.random() < 0.5)
    pair = (matched if config.match_distance else together)(config, tables, rng)
    if not config.match_distance and rng.random() < 0.5:
        pair = pair[::-1]
    canvas = Canvas(tables, config.size, config.padding)
    for contour in pair:
        contour.merged = 0
        contour.merge(canvas)
    others = _distractors(config, canvas, rng)

    targets = _drawn(config.size, tables, pair)
    image = np.maximum(targets, _drawn(config.size, tables, others))
    markers = np.array([pair[0].tips[0], pair[1 - label].tips[-1]])
    for marker in markers:
        rows, columns = (marker + disc(config.marker_radius)).T
        image[rows, columns] = 255
    if config.output_size is not None:
        image = np.array(Image.fromarray(image).resize(2 * (config.output_size,), Image.Resampling.BILINEAR))
    return Scene(
        image=image,
        label=label,
        markers=markers,
        contours=np.array([contour.tips for contour in pair]),
        targets=targets,
        stamps=[contour.stamps for contour in (*pair, *others)],
    )


def _distractors(config: PathfinderConfig, canvas: Canvas, rng: np.random.Generator) -> list[Contour]:
    """As many whole contours as find room; an incomplete one is forgotten."""
    out: list[Contour] = []
    for _ in range(config.distractors):
        for _ in range(config.contour_retries + 1):
            start = _free_start(config, canvas, rng)
            if start is None:
                return out
            before = canvas.state()
            contour = Contour.started(canvas.paddles, *start)
            if contour.grow(config.distractor_paddles, canvas, rng, config.segment_retries + 1):
                contour.merge(canvas)
                out.append(contour)
                break
            canvas.restore(before)
    return out


def _free_start(config: PathfinderConfig, canvas: Canvas, rng: np.random.Generator) -> tuple[int, int, int] | None:
    """(row, column, degrees) uniform over where the first paddle overlaps nothing; None where that is hardly anywhere."""
    degrees = int(rng.random() * DEGREES)
    at_anchor = canvas.paddles.limit[degrees][canvas.paddles.reach, canvas.paddles.reach]
    for _ in range(_PLACES // _PLACES_A_DRAW):
        place = (rng.random((_PLACES_A_DRAW, 2)) * config.size).astype(int)
        row, column = (place + canvas.guard).T
        for r, c in place[canvas.occupied[row, column] <= at_anchor].tolist():
            if canvas.admits(r, c, degrees):
                return r, c, degrees
    return None


def _drawn(size: int, tables: Paddles, contours) -> np.ndarray:
    guard, side = tables.guard, 2 * tables.reach + 1
    image = np.zeros(2 * (size + 2 * guard,), np.uint8)
    for contour in contours:
        for row, column, degrees in contour.stamps:
            top, left = row + guard - tables.reach, column + guard - tables.reach
            window = image[top : top + side, left : left + side]
            np.maximum(window, tables.bar[degrees], out=window)
    return image[guard:-guard, guard:-guard]


class PathfinderSource(GeneratedSource):
    """Images made as they are asked for: source[i] is {"image": uint8 (size, size, 3) of equal channels, "label": int}."""

    config: PathfinderConfig

    def sample(self, index: int) -> dict[str, np.ndarray | int]:
        made = scene(self.config, self.seed, index)
        return {"image": np.repeat(made.image[..., None], 3, -1), "label": made.label}
