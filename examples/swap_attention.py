"""A small video transformer, and the same with sCSSM in the place of attention: `python examples/swap_attention.py`.

The task: which way does the dot move? Eight directions, a dot that starts anywhere on a torus. One frame tells nothing, so a
layer has to carry positions from frame to frame. The models share patches, MLPs, norms and readout; only the mixer differs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from cssm import VideoBlock
from jax import Array

DIRECTIONS = jnp.array([(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)])
FRAMES, SIZE = 6, 16


class VideoTransformer(nn.Module):
    """2 x 2 patches, two blocks with this mixer, the mean over space of the last frame, a head."""

    cssm_type: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(B, T, H, W, 1) -> logits (B, 8)."""
        x = nn.Conv(32, (2, 2), strides=(2, 2), padding="VALID")(x)
        for _ in range(2):
            x = VideoBlock(cssm_type=self.cssm_type, mlp_ratio=2.0)(x)
        return nn.Dense(len(DIRECTIONS))(nn.LayerNorm()(x)[:, -1].mean(axis=(1, 2)))


def batch(key: Array, size: int) -> tuple[Array, Array]:
    """Videos (B, T, H, W, 1) of a bright pixel that moves, and its directions (B)."""
    where, which = jax.random.split(key)
    start = jax.random.randint(where, (size, 1, 2), 0, SIZE)
    labels = jax.random.randint(which, (size,), 0, len(DIRECTIONS))
    at = (start + jnp.arange(FRAMES)[:, None] * DIRECTIONS[labels][:, None]) % SIZE
    rows, columns = (jax.nn.one_hot(at[..., i], SIZE) for i in (0, 1))
    return 10 * (rows[..., :, None] * columns[..., None, :])[..., None], labels


def step_of(model: nn.Module, optimiser: optax.GradientTransformation) -> Callable[..., tuple[Any, Any, Array]]:
    """(params, state, key) -> (params, state, loss): one step of Adam on 32 videos."""

    def step(params: Any, state: Any, key: Array) -> tuple[Any, Any, Array]:
        x, labels = batch(key, 32)

        def loss_of(params: Any) -> Array:
            return optax.softmax_cross_entropy_with_integer_labels(model.apply(params, x), labels).mean()

        loss, grads = jax.value_and_grad(loss_of)(params)
        updates, state = optimiser.update(grads, state)
        return optax.apply_updates(params, updates), state, loss

    return step


def main() -> None:
    """Trains both for a few steps and prints the loss, the time of a step and its temporary memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    steps = parser.parse_args().steps
    for cssm_type in ("spatiotemporal_attn", "no_gate", "gated"):
        model, optimiser = VideoTransformer(cssm_type), optax.adam(2e-3)
        params = model.init(jax.random.key(0), batch(jax.random.key(1), 1)[0])
        state = optimiser.init(params)
        program = jax.jit(step_of(model, optimiser)).lower(params, state, jax.random.key(2)).compile()
        times = []
        for i in range(steps):
            start = time.perf_counter()
            params, state, loss = program(params, state, jax.random.fold_in(jax.random.key(2), i))
            loss = float(loss)
            times.append(time.perf_counter() - start)
        temp = program.memory_analysis().temp_size_in_bytes / 1e6
        print(f"{cssm_type}: loss {loss:.3f}, {1e3 * statistics.median(times):.0f} ms a step, {temp:.0f} MB temporary")


if __name__ == "__main__":
    main()
