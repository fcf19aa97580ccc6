"""The self-supervised objective: LeJEPA's losses of each recurrence, and a linear probe that teaches nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from cssm.train.imagenet.lejepa import predictive, sigreg
from cssm.train.imagenet.objective import ImageObjective
from cssm.train.step import Batch, Metrics

SOWN = "cssm_temporal_proj"


@dataclass(frozen=True)
class SelfSupervised(ImageObjective):
    """w_p pred + w_s sigreg + the probe's cross-entropy, both terms means over the blocks; accuracies are the probe's.

    Of a model with `linear_probe` whose blocks sow projections z (B, T, P) of their steps.

    Fields beside those of `ImageObjective`:
      pairs: see `predictive`.
      loss_weight, sigreg_weight: w_p and w_s.
      slices, points: see `sigreg`.
    """

    pairs: str = "all"
    loss_weight: float = 1.0
    sigreg_weight: float = 1.0
    slices: int = 1024
    points: int = 17

    def training_loss(
        self, params: Any, batch_stats: Any, batch: Batch, key: Array
    ) -> tuple[Array, tuple[Metrics, Any]]:
        """(loss, (metrics, new batch statistics)); `min_z_var`, the least variance in time of a block, tells of collapse."""
        inputs_key, dropout_key, slices_key = jax.random.split(key, 3)
        variables = {"params": params} | ({"batch_stats": batch_stats} if batch_stats else {})
        x, labels = self.examples(batch, inputs_key)
        (_, probe), changed = self.model.apply(
            variables, x, training=True, rngs={"dropout": dropout_key}, mutable=["batch_stats", "intermediates"]
        )
        blocks = list(_sown(changed["intermediates"]))
        keys = jax.random.split(slices_key, len(blocks))
        pred = jnp.stack([predictive(z, self.pairs) for z in blocks]).mean()
        flat = [z.reshape(-1, z.shape[-1]) for z in blocks]
        sig = jnp.stack([sigreg(one, z, self.slices, self.points) for one, z in zip(keys, flat)]).mean()
        probe_ce = self.losses(probe, labels).mean()
        loss = self.loss_weight * pred + self.sigreg_weight * sig + probe_ce
        metrics = {
            "loss": loss,
            "acc": (probe.argmax(-1) == labels.argmax(-1)).mean(),
            "pred_loss": pred,
            "sigreg_loss": sig,
            "probe_ce": probe_ce,
            "min_z_var": jnp.stack([z.var(1).mean() for z in blocks]).min(),
        }
        return loss, (metrics, changed.get("batch_stats", {}))

    def logits(self, variables: Any, batch: Batch) -> Array:
        """The probe's."""
        return jnp.asarray(self.model.apply(variables, self.inputs(batch, None), training=False)[1])


def _sown(tree: Mapping[str, Any]) -> Iterator[Array]:
    for name, value in sorted(tree.items()):
        if name == SOWN:
            yield from value
        elif isinstance(value, Mapping):
            yield from _sown(value)
