"""Steps made of array functions."""

from collections.abc import Callable, Sequence

import numpy as np

from tools.ptxsim.batch import Batch
from tools.ptxsim.decoder import Mask, Step


def elementwise(ufunc: np.ufunc, target: int | None, sources: Sequence[int], pack: int = 1) -> Step:
    """`ufunc` writes its result in place."""
    if target is None:
        return nothing
    if pack > 1:
        return compute(ufunc, target, sources, pack)
    out = target
    if len(sources) == 1:
        (a,) = sources

        def unary(batch: Batch, mask: Mask) -> None:
            views = batch.views
            ufunc(views[a], out=views[out], where=mask)

        return unary
    a, b = sources

    def binary(batch: Batch, mask: Mask) -> None:
        views = batch.views
        ufunc(views[a], views[b], out=views[out], where=mask)

    return binary


def compute(function: Callable, target: int | None, sources: Sequence[int], pack: int = 1) -> Step:
    """`function` of the sources' arrays, which are `pack` elements a lane."""
    if target is None:
        return nothing
    out = target

    def step(batch: Batch, mask: Mask) -> None:
        views = batch.views
        if pack > 1 and mask is not True:
            mask = np.repeat(mask, pack)
        np.copyto(views[out], function(*[views[source] for source in sources]), where=mask, casting="unsafe")

    return step


def nothing(batch: Batch, mask: Mask) -> None:
    """An instruction without effect here."""
