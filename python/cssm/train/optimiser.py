"""The optimiser of the published runs: finite guard, clipping, AdamW or Muon, warm-up and cosine."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

import jax
import optax

OPTIMISERS = ("adamw", "muon")
MOST_BAD_STEPS = 5
WARMUP_STEPS = 500
FLOOR = 0.01
UNDECAYED = ("bias", "scale", "decay*", "*_logit")


def learning_rate(peak: float, total_steps: int, warmup_steps: int | None = None) -> optax.Schedule:
    """Linear from 0 to `peak` over the warm-up (500 steps, or all but one), then a cosine to peak / 100 at `total_steps`.

    Source: training specification 4.
    """
    if warmup_steps is None:
        warmup_steps = WARMUP_STEPS
    warmup_steps = min(warmup_steps, max(0, total_steps - 1))
    return optax.warmup_cosine_decay_schedule(0.0, peak, warmup_steps, total_steps, FLOOR * peak)


def decays(params: Any) -> Any:
    """Whether weight decay applies, leaf by leaf: to matrices and kernels, not to norms, biases, decays or logits."""

    def applies(path: tuple[Any, ...], leaf: jax.Array) -> bool:
        name = str(getattr(path[-1], "key", path[-1]))
        return leaf.ndim >= 2 and not any(fnmatch(name, pattern) for pattern in UNDECAYED)

    return jax.tree_util.tree_map_with_path(applies, params)


def make_optimiser(
    schedule: optax.Schedule,
    *,
    name: str = "adamw",
    weight_decay: float = 1e-4,
    grad_clip: float = 1.0,
    decay_all: bool = False,
    accumulate: int = 1,
) -> optax.GradientTransformation:
    """Gradients with a NaN or Inf are skipped (up to five in a row), then clipped by global norm, then AdamW (b1 0.9, b2
    0.999, eps 1e-8, decoupled decay) or Muon.

    Args:
      schedule: learning rate by update.
      name: adamw or muon.
      weight_decay: of the leaves that `decays` names.
      grad_clip: largest global norm.
      decay_all: every leaf decays, as in the published code (discrepancy D1).
      accumulate: gradients averaged for an update.

    Raises:
      ValueError: an unknown name.

    Source: training specification 4.
    """
    if name not in OPTIMISERS:
        raise ValueError(f"optimizer: got {name!r}, expected one of {', '.join(OPTIMISERS)}")
    mask = None if decay_all else decays
    if name == "muon":
        rule = optax.contrib.muon(schedule, weight_decay=weight_decay, weight_decay_mask=mask)
    else:
        rule = optax.adamw(schedule, weight_decay=weight_decay, mask=mask)
    updates: Any = optax.chain(optax.clip_by_global_norm(grad_clip), rule)
    if accumulate > 1:
        updates = optax.MultiSteps(updates, accumulate).gradient_transformation()
    return optax.apply_if_finite(updates, MOST_BAD_STEPS)
