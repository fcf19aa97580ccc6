"""One training step and one evaluation step, as pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import Array

from cssm.train.state import TrainState

Batch = Mapping[str, Array]
Metrics = dict[str, Array]


@dataclass(frozen=True)
class Pixels:
    """How stored pixels become inputs: (x / scale - mean) / std, uint8 or float alike."""

    scale: float = 127.5
    mean: tuple[float, ...] = (1.0,)
    std: tuple[float, ...] = (1.0,)

    def __call__(self, pixels: Array) -> Array:
        return (pixels.astype(jnp.float32) / self.scale - jnp.asarray(self.mean)) / jnp.asarray(self.std)


@dataclass(frozen=True)
class Objective:
    """Mean cross-entropy of the model's logits against smoothed labels.

    Fields:
      model: (pixels, training=...) -> logits (B, K).
      pixels: see `Pixels`.
      frames: T, to which an image is repeated.
      label_smoothing: e; targets are (1 - e) onehot + e / K, in training and evaluation.
      shortest: frames left of a batch at least, the first ones being multiplied by zero; None for all.
      batch_statistics: evaluate batch norms by the batch.
    """

    model: nn.Module
    pixels: Pixels
    frames: int = 1
    label_smoothing: float = 0.0
    shortest: int | None = None
    batch_statistics: bool = False

    def inputs(self, batch: Batch, key: Array | None) -> Array:
        """What the model is given of a batch; with a key, shortened if that is asked for."""
        if "video" in batch:
            x = self.pixels(batch["video"])
        else:
            image = self.pixels(batch["image"])
            shortened = key is not None and self.shortest is not None
            if getattr(self.model, "repeats_images", False) and not shortened:
                return image
            x = jnp.broadcast_to(image[:, None], (len(image), self.frames, *image.shape[1:]))
        if key is None or self.shortest is None:
            return x
        length = x.shape[1]
        kept = jax.random.randint(key, (), self.shortest, length + 1)
        return jnp.where((jnp.arange(length) >= length - kept)[:, None, None, None], x, 0)

    def examples(self, batch: Batch, key: Array) -> tuple[Array, Array]:
        """What a step trains on: inputs, and labels (B,) or soft ones (B, K)."""
        return self.inputs(batch, key), batch["label"]

    def targets(self, labels: Array, classes: int) -> Array:
        """(B, K), smoothed, of labels (B,) or soft ones (B, K)."""
        soft = labels if labels.ndim == 2 else jax.nn.one_hot(labels, classes)
        return optax.smooth_labels(soft, self.label_smoothing)

    def losses(self, logits: Array, labels: Array) -> Array:
        """Of each sample, (B,)."""
        return optax.softmax_cross_entropy(logits.astype(jnp.float32), self.targets(labels, logits.shape[-1]))

    def forward(self, variables: Any, x: Array, key: Array) -> tuple[Array, Any]:
        """(logits, changed variables) in training."""
        return self.model.apply(variables, x, training=True, rngs={"dropout": key}, mutable=["batch_stats"])

    def training_loss(
        self, params: Any, batch_stats: Any, batch: Batch, key: Array
    ) -> tuple[Array, tuple[Metrics, Any]]:
        """(loss, (metrics, new batch statistics))"""
        inputs_key, dropout_key = jax.random.split(key)
        variables = {"params": params} | ({"batch_stats": batch_stats} if batch_stats else {})
        x, labels = self.examples(batch, inputs_key)
        logits, changed = self.forward(variables, x, dropout_key)
        loss = self.losses(logits, labels).mean()
        right = logits.argmax(-1) == (labels.argmax(-1) if labels.ndim == 2 else labels)
        metrics = {"loss": loss, "acc": right.mean()}
        return loss, (metrics, changed.get("batch_stats", {}))

    def logits(self, variables: Any, batch: Batch) -> Array:
        """Of an evaluation: nothing is drawn, and nothing changes."""
        x = self.inputs(batch, None)
        if not self.batch_statistics:
            return jnp.asarray(self.model.apply(variables, x, training=False))
        logits, _ = self.model.apply(variables, x, training=True, mutable=["batch_stats"])
        return logits


def train_step(
    objective: Objective, optimiser: optax.GradientTransformation, ema_decay: float | None = None
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """(state, batch) -> (state after, {loss, acc, grad_norm})"""

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        gradient = jax.grad(objective.training_loss, has_aux=True)
        grads, (metrics, batch_stats) = gradient(state.params, state.batch_stats, batch, key)
        with jax.named_scope("optimiser"):
            updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
            ema = state.ema
            if ema is not None and ema_decay is not None:
                ema = jax.tree.map(lambda mean, new: ema_decay * mean + (1 - ema_decay) * new, ema, params)
        metrics["grad_norm"] = optax.tree.norm(grads)
        after = state.replace(  # type: ignore[attr-defined]
            step=state.step + 1, params=params, batch_stats=batch_stats, opt_state=opt_state, ema=ema
        )
        return after, metrics

    return step


def eval_step(objective: Objective, averaged: bool = False) -> Callable[[TrainState, Batch], Metrics]:
    """(state, batch) -> sums over the samples whose `weight` is 1: {loss, acc, count}, and all logits."""

    def step(state: TrainState, batch: Batch) -> Metrics:
        logits = objective.logits(state.variables(averaged), batch)
        weight = batch["weight"]
        return {
            "loss": (weight * objective.losses(logits, batch["label"])).sum(),
            "acc": (weight * (logits.argmax(-1) == batch["label"])).sum(),
            "count": weight.sum(),
            "logits": logits,
        }

    return step
