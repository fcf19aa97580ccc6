"""The pointwise nonlinearities a configuration can name."""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax import Array

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "softplus": jax.nn.softplus,
    "gelu": jax.nn.gelu,  # the tanh approximation
    "relu": jax.nn.relu,
}


def activation(name: str) -> Callable[[Array], Array]:
    """The function called `name`; ValueError if there is none, where the published wrapper falls back to softplus."""
    if name not in ACTIVATIONS:
        raise ValueError(f"act_type: got {name!r}, expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
