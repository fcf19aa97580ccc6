"""The frames of all videos as one axis."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import jax
from jax import Array


def of_frames(f: Callable[..., Array]) -> Callable[..., Array]:
    """f, which sees arrays (B, T, ...) as (B T, ...).

    For an f in which frames know nothing of each other; arrays of fewer than three axes, and None, reach it as they are.
    XLA on CPU takes a sum over channels of products, behind an axis of size 1, for many small matrix products, which takes
    five times as long, and a batch of one video is common.
    """

    @wraps(f)
    def merged(*arrays: Array | None) -> Array:
        leading = next(a.shape[:2] for a in arrays if a is not None)
        y = f(*jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]) if a.ndim > 2 else a, arrays))
        return y.reshape(*leading, *y.shape[1:])

    return merged
