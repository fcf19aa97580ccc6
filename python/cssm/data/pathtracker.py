"""PathTracker: does the dot that starts in the start marker end in the goal marker?

A clip has a target, a decoy and distractors, one dot each. The start marker is where the target begins; the goal marker is
where the target (label 1) or the decoy (label 0) ends; both are in every frame. Source: data specification 11, and the
small-task specification 1 for `match_distance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cssm.data.curves import DRAWS, POINTS, curves
from cssm.data.generated import GeneratedSource, check_at_least, fixed, sample_rng
from cssm.data.pathtracker_draw import STYLES

_BORDER = 5  # a marker and a dot reach beyond their coordinate
_PLACES = 5  # uniform numbers that place target and decoy
_TRIES = 4096


@dataclass(frozen=True)
class PathTrackerConfig:
    """What a clip is like; `PathTrackerConfig()` is the form known as 15-dist, with its shortcut closed.

    Fields:
      frames, size: of a clip.
      distractors: dots beside target and decoy.
      skip: points of a curve from one frame to the next, the speed.
      dot_size: side of a dot in pixels, in the style "published".
      style: "published", green dots and coloured squares on black; or "restyled_v1", soft white dots and coloured rings
        on dark grey, our own and not the authors' restyled set.
      match_distance: the decoy ends as far from the start marker as the target, and either could be either, so that
        markers alone say nothing. False: the published procedure, where the distance of the markers gives the label away.
      min_separation: clips whose target and decoy end closer than this many pixels are drawn again (published: 0).

    Raises:
      ValueError: a field out of range, or more frames than a curve has points.
    """

    frames: int = 32
    size: int = 32
    distractors: int = 14
    skip: int = 1
    dot_size: int = 1
    style: str = "published"
    match_distance: bool = True
    min_separation: float = 3.0

    def __post_init__(self):
        check_at_least(self, frames=2, size=16, distractors=0, skip=1, dot_size=1, min_separation=0)
        if self.dot_size > 3:
            raise ValueError(f"dot_size: got {self.dot_size}, expected at most 3, the side of a marker")
        if self.frames * self.skip > POINTS:
            raise ValueError(
                f"frames, skip: got {self.frames} and {self.skip}, expected a product of at most {POINTS}, a curve's points"
            )
        if self.style not in STYLES:
            raise ValueError(f"style: got {self.style!r}, expected one of {', '.join(STYLES)}")

    @property
    def window(self) -> int:
        """Largest coordinate of a dot."""
        return self.size - _BORDER


@dataclass(frozen=True)
class Clips:
    """`n` clips and what they were drawn from.

    Fields:
      video: (n, frames, size, size, 3), uint8.
      label: (n,), int32.
      trajectories: (n, frames, 2 + distractors, 2), float32, (row, column) of target, decoy, distractors.
      markers: (n, 2, 2), float32, where the start and the goal marker are.
      draws: (n,), how many times target and decoy were drawn until they could be taken.
    """

    video: np.ndarray
    label: np.ndarray
    trajectories: np.ndarray
    markers: np.ndarray
    draws: np.ndarray


def clips(config: PathTrackerConfig, seed: int, indices: Sequence[int]) -> Clips:
    """The clips of these indices, each a function of (config, seed, index) alone.

    Raises:
      ValueError: no target and decoy that fit into the window were found.
    """
    n = len(indices)
    rngs = [sample_rng(seed, int(i)) for i in indices]
    first = np.stack([rng.random(1 + config.distractors * DRAWS) for rng in rngs]) if n else np.empty((0, 1))
    label = (first[:, 0] < 0.5).astype(np.int32)
    paths = np.empty((n, 2 + config.distractors, config.frames, 2))
    paths[:, 2:] = _curves(config, first[:, 1:].reshape(n, config.distractors, DRAWS))
    paths[:, :2], draws = _pairs(config, rngs)
    # Below, a pixel is a floor of these: on a grid, their sums are exact.
    paths = np.rint(paths * 2**12) / 2**12

    start = paths[:, 0, 0]
    goal = np.where(label[:, None] == 1, paths[:, 0, -1], paths[:, 1, -1])
    trajectories = paths.swapaxes(1, 2)
    return Clips(
        video=STYLES[config.style](config, trajectories, start, goal),
        label=label,
        trajectories=trajectories.astype(np.float32),
        markers=np.stack([start, goal], 1).astype(np.float32),
        draws=draws,
    )


def _pairs(config: PathTrackerConfig, rngs: list[np.random.Generator]) -> tuple[np.ndarray, np.ndarray]:
    """(target and decoy (n, 2, frames, 2), draws (n,)), drawn until they are apart and fit."""
    out = np.empty((len(rngs), 2, config.frames, 2))
    draws = np.zeros(len(rngs), np.int32)
    place = _matched if config.match_distance else _published
    left = np.arange(len(rngs))
    for _ in range(_TRIES):
        if not left.size:
            return out, draws
        u = np.stack([rngs[i].random(2 * DRAWS + _PLACES) for i in left])
        pair, fits = place(config, _curves(config, u[:, _PLACES:].reshape(-1, 2, DRAWS)), u[:, :_PLACES])
        fits &= ~(((pair[:, 0, -1] - pair[:, 1, -1]) ** 2).sum(-1) < config.min_separation**2)
        out[left[fits]] = pair[fits]
        draws[left] += 1
        left = left[~fits]
    raise ValueError(
        f"frames, skip, size, min_separation: got {config.frames}, {config.skip}, {config.size}, {config.min_separation}, "
        f"expected values that leave room for a target and a decoy: none found in {_TRIES} draws"
    )


def _curves(config: PathTrackerConfig, u: np.ndarray) -> np.ndarray:
    return curves(u, config.frames, config.skip, config.window)


def _published(config: PathTrackerConfig, pair: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two curves where they lie."""
    return pair, np.ones(len(pair), bool)


def _matched(config: PathTrackerConfig, pair: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A target, and a decoy that ends where the target would had it been turned about its start.

    The target's two turned forms share a start drawn where both fit, and the decoy must fit behind either end: swapping the
    forms changes nothing about how likely the draw is, so the goal marker is at either end with equal probability.
    """
    forms = [_turned(pair[:, 0] - pair[:, 0, :1], u[:, k]) for k in (0, 1)]
    decoy = _turned(pair[:, 1] - pair[:, 1, -1:], u[:, 2])  # relative to its end
    both = np.concatenate(forms, 1)
    low, high = -both.min(1), config.window - both.max(1)
    start = low + u[:, 3:5] * (high - low)
    fits = (low <= high).all(1)
    ends = [start + form[:, -1] for form in forms]
    for end in ends:
        path = end[:, None] + decoy
        fits &= ((path >= 0) & (path <= config.window)).all((1, 2))
    return np.stack([start[:, None] + forms[0], ends[1][:, None] + decoy], 1), fits


def _turned(paths: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Paths (n, frames, 2) turned about the origin by 2 pi u (n,)."""
    cos, sin = (fixed(f(2 * np.pi * u))[:, None] / 2.0**20 for f in (np.cos, np.sin))
    x, y = paths[..., 0], paths[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], -1)


class PathTrackerSource(GeneratedSource):
    """Clips made as they are asked for: source[i] is {"video": uint8 (frames, size, size, 3), "label": int}."""

    config: PathTrackerConfig

    def sample(self, index: int) -> dict[str, np.ndarray | int]:
        made = clips(self.config, self.seed, [index])
        return {"video": made.video[0], "label": int(made.label[0])}
