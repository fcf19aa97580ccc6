"""Gates over the positions of a map, or the bins of its spectrum, computed from a context (B, T, C) of each frame.

    dense      z[i, j] = D(ctx)[i n_j + j]          D: C -> n_i n_j
    factored   z[i, j] = D_i(ctx)[i] op D_j(ctx)[j]  D_i: C -> n_i, D_j: C -> n_j; op is a product or a sum

all (B, T, n_i, n_j, 1), one gate for every channel. Source: CSSM model specification 0.8 and 2.
"""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.nn.position import sinusoidal_table

Dense = Callable[[int, str], nn.Dense]
"""`Mixer.dense`: (features, name) -> the layer, under the calling module."""


def spatial_mean(x: Array) -> Array:
    """ctx (B, T, C) of x (B, T, H, W, C), its mean over (H, W)."""
    return x.mean(axis=(2, 3))


def timed_context(x: Array, first: int | Array = 0) -> Array:
    """ctx+ (B, T, C): the spatial mean and the sinusoidal table of the frame's number, so that gates differ in time."""
    ctx = spatial_mean(x)
    return ctx + sinusoidal_table(x.shape[1], x.shape[-1], first=first).astype(ctx.dtype)


def dense_gate(dense: Dense, ctx: Array, name: str, rows: int, columns: int) -> Array:
    """z (B, T, rows, columns, 1), unbounded. Parameters: `name`: Dense(C -> rows columns)."""
    return dense(rows * columns, name)(ctx).reshape(*ctx.shape[:-1], rows, columns, 1)


def gate_factors(dense: Dense, ctx: Array, name: str, rows: int, columns: int) -> tuple[Array, Array]:
    """(B, T, rows, 1, 1) and (B, T, 1, columns, 1), unbounded. Parameters: `name`_h, `name`_w: Dense(C -> rows, columns)."""
    row, column = dense(rows, f"{name}_h")(ctx), dense(columns, f"{name}_w")(ctx)
    return row[..., :, None, None], column[..., None, :, None]


def bounded_decay(z: Array) -> Array:
    """b(z) = 0.1 + 0.89 sigmoid(z), in (0.1, 0.99)."""
    return 0.1 + 0.89 * jax.nn.sigmoid(z)


def _clipped_exp(z: Array) -> Array:
    return jnp.exp(jnp.clip(z, -4.0, 2.0))


def _twice_sigmoid(z: Array) -> Array:
    return 2 * jax.nn.sigmoid(z)


STEP_ACTIVATIONS = {"softplus": jax.nn.softplus, "sigmoid": _twice_sigmoid, "exp": _clipped_exp}


def step_size(z: Array, gate_activation: str) -> Array:
    """Delta >= 0 of the gate z: softplus, twice the sigmoid, or exp(clip(z, -4, 2)).

    Raises:
      ValueError: `gate_activation` is none of those; the published code takes anything for softplus.
    """
    if gate_activation not in STEP_ACTIVATIONS:
        raise ValueError(f"gate_activation: got {gate_activation!r}, expected one of {', '.join(STEP_ACTIVATIONS)}")
    return STEP_ACTIVATIONS[gate_activation](z)
