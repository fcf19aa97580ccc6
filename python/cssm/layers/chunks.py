"""A video through a mixing layer a few frames at a time, for less memory."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

LARGE = 16 << 20
"""Bytes of x from which on a layer that `keeps_much` chooses chunks itself."""
LEAST, MOST, BEST = 4, 16, 8
"""Frames of such a chunk: what is carried from one to the next weighs as much as a few frames."""


def frames_at_once(layer: Any, x: Array) -> int:
    """The field of a bound `cssm.layers.base.Mixer` or, where it is None, what suits x: 0 for the whole video.

    Chunks are for one CPU and our operations: they would leave a GPU idle, and a loop over the videos gathers those that
    devices share. What the layer sows, it sows for whole videos.
    """
    if layer.frames_at_once is not None:
        return layer.frames_at_once
    suits = (
        layer.keeps_much
        and x.ndim == 5
        and x.size * x.dtype.itemsize >= LARGE
        and not layer.not_streaming
        and layer.implementation in (None, "cpu")
        and (jax.default_backend(), jax.device_count()) == ("cpu", 1)
        and not layer.is_mutable_collection("intermediates")
    )
    lengths = [n for n in range(LEAST, MOST + 1) if x.shape[1] % n == 0] if suits else []
    return min(lengths, key=lambda n: abs(n - BEST), default=0)


def in_chunks(layer: Any, x: Array, frames: int, *, last_only: bool = False, **options: Any) -> Array:
    """layer(x), of a bound `cssm.layers.base.Mixer`, `frames` frames of one video after the other.

    The state is carried on, and the backward pass makes each chunk again from the state before it: what is alive at once
    is a chunk's, besides those states. One loop over all chunks of all videos, which lie one after the other in memory.
    Dropout is drawn for each chunk.
    """
    if layer.not_streaming or not layer.starts_from_zeros:
        why = layer.not_streaming or "its first step reads no state"
        raise ValueError(f"frames_at_once: got {frames}, but {type(layer).__name__} cannot be run so: {why}")
    if x.shape[1] % frames:
        raise ValueError(f"frames_at_once: got {frames}, expected a divisor of the {x.shape[1]} frames of x, {x.shape}")
    module, variables = layer.clone(parent=None, frames_at_once=0), {"params": layer.variables["params"]}
    dropout = layer.make_rng("dropout") if layer.has_rng("dropout") else None
    how = (*options.items(), ("last_only", last_only))
    return _loop(module, frames, how, variables, x, dropout)


# Compiled once where the layer is called outside of jit.
@partial(jax.jit, static_argnums=(0, 1, 2), inline=True)
def _loop(
    module: Any, frames: int, how: tuple[tuple[str, Any], ...], variables: Any, x: Array, dropout: Array | None
) -> Array:
    options = dict(how)
    last_only = options["last_only"]

    def advance(i: Array, state: Any, chunk: Array) -> tuple[Array, Any]:
        rngs = None if dropout is None else {"dropout": jax.random.fold_in(dropout, i)}
        y, state = module.apply(variables, chunk[None], state, method="advance", rngs=rngs, **options)
        return y[0, -1:] if last_only else y[0], state

    videos, count = x.shape[0], x.shape[1] // frames
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
