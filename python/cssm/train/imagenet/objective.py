"""The loss of the ImageNet recipe: of augmented images and soft labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from cssm.train.augment.pipeline import Augmentation
from cssm.train.step import Batch, Objective


@dataclass(frozen=True)
class ImageObjective(Objective):
    """Of a model that is given images and repeats them itself.

    Fields beside those of `Objective`:
      augment: of the images in training, if they are.
      binary: the mean of the classes' binary cross-entropies instead of the cross-entropy.
      timesteps: T of which each step of training draws one for the model's `num_timesteps`; empty: that of the model.
    """

    augment: Augmentation | None = None
    binary: bool = False
    timesteps: tuple[int, ...] = ()

    def inputs(self, batch: Batch, key: Array | None) -> Array:
        """Images, normalised."""
        return self.pixels(batch["image"])

    def examples(self, batch: Batch, key: Array) -> tuple[Array, Array]:
        """Augmented images, uint8 before, and soft labels."""
        classes = self.model.num_classes
        labels = jax.nn.one_hot(batch["label"], classes)
        if self.augment is None:
            return self.inputs(batch, key), labels
        images, labels = self.augment(key, batch["image"].astype(jnp.float32) / 255, labels)
        return self.pixels(255 * images), labels

    def losses(self, logits: Array, labels: Array) -> Array:
        """Of each sample, (B,)."""
        if not self.binary:
            return super().losses(logits, labels)
        targets = self.targets(labels, logits.shape[-1])
        return optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), targets).mean(-1)

    def forward(self, variables: Any, x: Array, key: Array) -> tuple[Array, Any]:
        """(logits, changed variables) in training, of one of `timesteps`."""
        if not self.timesteps:
            return super().forward(variables, x, key)
        length_key, key = jax.random.split(key)
        models = [self.model.clone(num_timesteps=length) for length in self.timesteps]
        of_each = [
            partial(model.apply, training=True, rngs={"dropout": key}, mutable=["batch_stats"]) for model in models
        ]
        drawn = jax.random.randint(length_key, (), 0, len(models))
        return jax.lax.switch(drawn, of_each, variables, x)
