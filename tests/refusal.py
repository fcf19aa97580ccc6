"""How every operation's argument errors are tried: eagerly and under jit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

Refused = tuple[type[Exception], str, dict[str, Any]]


def each_refusal(refused: list[Refused]) -> Callable[[Any], Any]:
    """Parametrizes a test with (refused, under_jit) over a list of (error, message, the arguments it comes of)."""
    refusals = pytest.mark.parametrize("refused", refused, ids=[message[:40] for _, message, _ in refused])
    under_jit = pytest.mark.parametrize("under_jit", [False, True], ids=["eager", "jit"])
    return lambda test: refusals(under_jit(test))


def check(operation: Callable[..., Any], refused: Refused, under_jit: bool) -> None:
    error, message, arguments = refused
    arrays = {k: v for k, v in arguments.items() if isinstance(v, np.ndarray)}
    rest = {k: v for k, v in arguments.items() if k not in arrays}
    call = lambda arrays: operation(**arrays, **rest)
    with pytest.raises(error, match=message):
        (jax.jit(call) if under_jit else call)(arrays)
