"""The optimisers of the published runs: finite guard, clipping, the rule of the updates, warm-up and cosine."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

import jax
import optax

OPTIMISERS = ("adamw", "muon", "lamb", "sgd")
MOMENTUM = 0.9  # of sgd
MOST_BAD_STEPS = 5
WARMUP_STEPS = 500
FLOOR = 0.01
UNDECAYED = ("bias", "scale", "decay*", "*_logit")


def learning_rate(
    peak: float, total_steps: int, warmup_steps: int | None = None, floor: float | None = None
) -> optax.Schedule:
    """Linear from 0 to `peak` over the warm-up (500 steps, or all but one), then a cosine to the floor (peak / 100) at
    `total_steps`.

    Source: training specification 4.
    """
    if warmup_steps is None:
        warmup_steps = WARMUP_STEPS
    warmup_steps = min(warmup_steps, max(0, total_steps - 1))
    return optax.warmup_cosine_decay_schedule(
        0.0, peak, warmup_steps, total_steps, FLOOR * peak if floor is None else floor
    )


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
    agc: float | None = None,
    eps: float = 1e-8,
    decay_all: bool = False,
    accumulate: int = 1,
    apart: Mapping[str, optax.GradientTransformation] | None = None,
) -> optax.GradientTransformation:
    """Gradients with a NaN or Inf are skipped (up to five in a row), then clipped, then AdamW or LAMB (b1 0.9, b2 0.999,
    decoupled decay), Muon, or SGD (Nesterov's momentum 0.9, the decay added after it).

    Args:
      schedule: learning rate by update.
      name: adamw, muon, lamb or sgd.
      weight_decay: of the leaves that `decays` names.
      grad_clip: largest global norm.
      agc: instead, the largest norm of a unit's gradient, in units of that of its parameters (adaptive clipping).
      eps: of AdamW and LAMB.
      decay_all: every leaf decays, as in the published code (discrepancy D1).
      accumulate: gradients averaged for an update.
      apart: rules of modules at the top of the parameters that have one of their own, by name.

    Raises:
      ValueError: an unknown name.

    Source: training specification 4 and 11.2.
    """
    if name not in OPTIMISERS:
        raise ValueError(f"optimizer: got {name!r}, expected one of {', '.join(OPTIMISERS)}")
    mask = None if decay_all else decays
    if name == "muon":
        rule = optax.contrib.muon(schedule, weight_decay=weight_decay, weight_decay_mask=mask)
    elif name == "sgd":
        decay = optax.add_decayed_weights(weight_decay, mask)
        rule = optax.chain(optax.trace(MOMENTUM, nesterov=True), decay, optax.scale_by_learning_rate(schedule))
    else:
        rule = {"adamw": optax.adamw, "lamb": optax.lamb}[name](schedule, eps=eps, weight_decay=weight_decay, mask=mask)
    clip = optax.clip_by_global_norm(grad_clip) if agc is None else optax.adaptive_grad_clip(agc)
    updates: Any = optax.chain(clip, rule)
    if apart:
        updates = optax.multi_transform(
            {"": updates, **apart}, lambda params: {name: name if name in apart else "" for name in params}
        )
    if accumulate > 1:
        updates = optax.MultiSteps(updates, accumulate).gradient_transformation()
    return optax.apply_if_finite(updates, MOST_BAD_STEPS)
