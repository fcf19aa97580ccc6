"""Small tasks that separate models with memory from those without, generated as they are needed.

PathTracker-mini: do the dot that starts in the red marker and the one that ends in the blue one belong together? Dots move
straight; the decoy ends as far from the start marker as the target does, in a direction drawn from the same distribution, so
that the markers alone say nothing. Pathfinder-mini: contours of three paddles in 32 x 32.

Source: small-task specification 2, 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cssm.data.pathfinder import PathfinderConfig, scene

SPEED = 1.2
LEAST_SEPARATION = 3.0
_TRIES = 64


@dataclass(frozen=True)
class PathTrackerMini:
    """Clips (frames, size, size, 3), uint8: red start marker, blue goal marker, green dots, all of one pixel.

    Fields:
      size, frames: of a clip.
      distractors: dots beside target and decoy.
      speed: pixels a frame.
      last_frames: the frames given, the last ones (None: all).
    """

    size: int = 16
    frames: int = 8
    distractors: int = 2
    speed: float = SPEED
    last_frames: int | None = None

    def batch(self, seed: tuple[int, ...], count: int) -> dict[str, np.ndarray]:
        """`count` clips and labels, the same for the same seed: {"video": (count, ...), "label": (count,)}.

        Raises:
          ValueError: dots move further than fits into a frame.
        """
        rng = np.random.default_rng(seed)
        label, start, end, dots = self._scenes(rng, count)
        video = np.zeros((count, self.frames, self.size, self.size, 3), np.uint8)
        _mark(video, np.broadcast_to(start[:, None], dots[:, 0].shape), 0)
        _mark(video, np.broadcast_to(end[:, None], dots[:, 0].shape), 2)
        for dot in range(dots.shape[1]):
            _mark(video, dots[:, dot], 1)
        kept = self.last_frames or self.frames
        return {"video": video[:, -kept:], "label": label.astype(np.int32)}

    @property
    def reach(self) -> float:
        """How far a dot gets."""
        return self.speed * (self.frames - 1)

    def _scenes(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, ...]:
        """(label, start marker, goal marker, dots (count, 2 + distractors, frames, 2)), every dot inside all the way."""
        found: list[tuple[np.ndarray, ...]] = []
        for _ in range(_TRIES):
            label = rng.integers(0, 2, count)
            start, goal, decoy_goal = self._goals(rng, count)
            dots = [self._path(start, goal), self._path(self._inside(rng, decoy_goal), decoy_goal)]
            for _ in range(self.distractors):
                begin = rng.uniform(0, self.size, (count, 2))
                dots.append(self._path(begin, self._inside(rng, begin)))
            paths = np.stack(dots, 1)
            inside = np.isfinite(paths).all((1, 2, 3))
            end = np.where(label[:, None] == 1, goal, decoy_goal)
            found.append((label[inside], start[inside], end[inside], paths[inside]))
            if sum(len(labels) for labels, *_ in found) >= count:
                label, start, end, paths = (np.concatenate(parts)[:count] for parts in zip(*found))
                return label, start, end, paths
        raise self._too_far()

    def _goals(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(start, end of the target, end of the decoy): two points as far from the start, exchangeable, and apart."""
        out = [np.empty((0, 2))] * 3
        for _ in range(_TRIES):
            start = rng.uniform(0, self.size, (2 * count, 2))
            goals = [self._inside(rng, start) for _ in range(2)]
            apart = np.linalg.norm(goals[0] - goals[1], axis=1) >= LEAST_SEPARATION
            out = [np.concatenate([have, new[apart]]) for have, new in zip(out, (start, *goals))]
            if len(out[0]) >= count:
                return out[0][:count], out[1][:count], out[2][:count]
        raise self._too_far()

    def _inside(self, rng: np.random.Generator, start: np.ndarray) -> np.ndarray:
        """A point `reach` from each start, in a direction uniform over those that stay inside; NaN if none was found."""
        out = np.full_like(start, np.nan)
        for _ in range(_TRIES):
            missing = np.isnan(out[:, 0])
            if not missing.any():
                break
            angle = rng.uniform(0, 2 * np.pi, len(start))
            end = start + self.reach * np.stack([np.cos(angle), np.sin(angle)], 1)
            fits = missing & ((end >= 0) & (end < self.size)).all(1)
            out[fits] = end[fits]
        return out

    def _too_far(self) -> ValueError:
        return ValueError(
            f"frames: got {self.frames}, at {self.speed} pixels a frame more than fits into size {self.size}"
        )

    def _path(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """(count, frames, 2)"""
        return start[:, None] + np.linspace(0, 1, self.frames)[:, None] * (end - start)[:, None]


def _mark(video: np.ndarray, path: np.ndarray, channel: int) -> None:
    """Set one pixel of every frame."""
    rows, columns = np.floor(path).astype(int).transpose(2, 0, 1)
    clip, frame = np.indices(rows.shape)
    video[clip, frame, rows, columns, channel] = 255


PATHFINDER_MINI = PathfinderConfig(
    contour_length=3,
    size=32,
    padding=2,
    antialias=4,
    seed_distance=6,
    marker_radius=1,
    distractors=2,
    distractor_length=1,
    paddle_length=3,
    paddle_thickness=1,
    margin=1,
    continuity=4.0,
    distance_tolerance=0.15,
    match_orientation=True,
)
"""Three paddles a contour, each turned by less than 23 degrees, among two single ones; distances and orientations match."""


def pathfinder_mini(seed: int, count: int) -> dict[str, np.ndarray]:
    """{"image": (count, 32, 32, 1), uint8, "label": (count,)}, some 700 images a second."""
    scenes = [scene(PATHFINDER_MINI, seed, index) for index in range(count)]
    images = np.stack([made.image for made in scenes])[..., None]
    return {"image": images, "label": np.array([made.label for made in scenes], np.int32)}


def turned(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Square images (N, S, S, C), each in one of its eight symmetries."""
    out = images.copy()
    turns, flips = rng.integers(0, 4, len(images)), rng.integers(0, 2, len(images)).astype(bool)
    for k in range(4):
        out[turns == k] = np.rot90(images[turns == k], k, (1, 2))
    out[flips] = out[flips, :, ::-1]
    return out
