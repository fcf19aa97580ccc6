"""All augmentations of a batch, in the published order. Source: training specification 11.3."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax import Array

from cssm.train.augment.erasing import random_erasing
from cssm.train.augment.mixing import mix
from cssm.train.augment.rand_augment import rand_augment
from cssm.train.augment.three_augment import three_augment

KINDS = ("randaugment", "3aug", "none")


@dataclass(frozen=True)
class Augmentation:
    """Colours and shapes, then Mixup or CutMix, then erasing.

    Fields:
      kind: randaugment, 3aug or none, of the first.
      operations, magnitude: of RandAugment.
      jitter: of the colours after 3-Augment.
      mixup_alpha, cutmix_alpha, mixup_prob: see `mix`.
      erase_prob: of an image.
    """

    kind: str = "randaugment"
    operations: int = 2
    magnitude: float = 9.0
    jitter: float = 0.3
    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    mixup_prob: float = 0.5
    erase_prob: float = 0.25

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: got {self.kind!r}, expected one of {', '.join(KINDS)}")

    def __call__(self, key: Array, images: Array, labels: Array) -> tuple[Array, Array]:
        """Images (B, H, W, 3) in [0, 1] and labels (B, K), one-hot; the same, the labels soft."""
        image_key, mix_key, erase_key = jax.random.split(key, 3)
        with jax.named_scope("augment"):
            if self.kind == "randaugment":
                images = rand_augment(image_key, images, self.operations, self.magnitude)
            elif self.kind == "3aug":
                images = three_augment(image_key, images, self.jitter)
            if self.mixup_alpha or self.cutmix_alpha:
                images, labels = mix(
                    mix_key,
                    images,
                    labels,
                    mixup_alpha=self.mixup_alpha,
                    cutmix_alpha=self.cutmix_alpha,
                    mixup_prob=self.mixup_prob,
                )
            return random_erasing(erase_key, images, self.erase_prob), labels
