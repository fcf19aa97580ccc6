"""Samples brought to the frames and the size that a loader is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from cssm.data.subsample import frame_indices


@dataclass(frozen=True)
class Fit:
    """Sample -> sample of `num_frames` frames and image_size x image_size pixels, each where it is given; label int32.

    Images are resized bilinearly, clips to the nearest pixel, as published.
    """

    num_frames: int | None = None
    image_size: int | None = None

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        label = np.int32(sample["label"])
        if "video" in sample:
            return {"video": self._clip(sample["video"]), "label": label}
        return {"image": self._picture(sample["image"]), "label": label}

    def _clip(self, video: np.ndarray) -> np.ndarray:
        if self.num_frames is not None and self.num_frames != len(video):
            video = video[frame_indices(len(video), self.num_frames)]
        if self.image_size is None or video.shape[1:3] == (self.image_size, self.image_size):
            return video
        rows, columns = (_nearest(size, self.image_size) for size in video.shape[1:3])
        return video[:, rows[:, None], columns]

    def _picture(self, image: np.ndarray) -> np.ndarray:
        size = self.image_size
        if size is None or image.shape[:2] == (size, size):
            return image
        planes = [
            Image.fromarray(np.ascontiguousarray(image[..., c])).resize((size, size), Image.Resampling.BILINEAR)
            for c in range(image.shape[2])
        ]
        return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def _nearest(have: int, size: int) -> np.ndarray:
    """The pixel under the centre of each of `size`."""
    return ((np.arange(size) + 0.5) * have / size).astype(np.int64)
