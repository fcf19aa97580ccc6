"""Which frames of a clip are kept."""

from __future__ import annotations

import numpy as np


def frame_indices(frames: int, kept: int, *, truncate: bool = False) -> np.ndarray:
    """`kept` indices spread evenly over 0 ... frames - 1, rounded (half to even); int64.

    Args:
      truncate: round down, as the published converter of PathTracker does.

    Raises:
      ValueError: more than there are, or none.

    Source: data specification 1.
    """
    if not 1 <= kept <= frames:
        raise ValueError(f"num_frames: got {kept}, expected 1 to {frames}, the frames there are")
    positions = np.linspace(0, frames - 1, kept)
    return (np.floor(positions) if truncate else np.round(positions)).astype(np.int64)
