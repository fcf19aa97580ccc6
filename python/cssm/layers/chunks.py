"""A video through a mixing layer a few frames at a time, for less memory."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax


def in_chunks(layer: Any, x: Array, frames: int, *, last_only: bool = False, **options: Any) -> Array:
    """layer(x), of a bound `cssm.layers.base.Mixer`, `frames` frames of one video after the other.

    The state is carried on, and the backward pass makes each chunk again from the state before it: what is alive at once
    is a chunk's, besides those states. One loop over all chunks of all videos, which lie one after the other in memory.
    Dropout is drawn for each chunk.
    """
    if layer.not_streaming or not layer.starts_from_zeros:
        why = layer.not_streaming or "its first step reads no state"
        raise ValueError(f"frames_at_once: got {frames}, but {type(layer).__name__} cannot be run so: {why}")
    videos, steps = x.shape[:2]
    if steps % frames:
        raise ValueError(f"frames_at_once: got {frames}, expected a divisor of the {steps} frames of x, {x.shape}")
    module, variables = layer.clone(parent=None, frames_at_once=0), {"params": layer.variables["params"]}

    dropout = layer.make_rng("dropout") if layer.has_rng("dropout") else None

    def advance(i: Array, state: Any, chunk: Array) -> tuple[Array, Any]:
        rngs = None if dropout is None else {"dropout": jax.random.fold_in(dropout, i)}
        y, state = module.apply(
            variables, chunk[None], state, last_only=last_only, method="advance", rngs=rngs, **options
        )
        return y[0, -1:] if last_only else y[0], state

    count = steps // frames
    # No dimension of size 1 beside the chunks': XLA would copy x to another layout.
    chunks = x.reshape(videos * count, frames, *x.shape[2:])
    first = jax.ShapeDtypeStruct(chunks.shape[1:], chunks.dtype)
    after = jax.eval_shape(lambda chunk: advance(jnp.int32(0), None, chunk)[1], first)
    nothing = jax.tree.map(lambda v: jnp.zeros(v.shape, v.dtype), after)

    @jax.checkpoint
    def one(state: Any, of: tuple[Array, Array]) -> tuple[Any, Array]:
        i, chunk = of
        state = jax.tree.map(lambda v: jnp.where(i % count == 0, jnp.zeros_like(v), v), state)
        y, state = advance(i, state, chunk)
        return state, y

    _, y = lax.scan(one, nothing, (jnp.arange(len(chunks)), chunks))
    y = y.reshape(videos, count * y.shape[1], *y.shape[2:])
    return y[:, -1:] if last_only else y
