"""All that a step reads and writes."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array


@flax.struct.dataclass
class TrainState:
    """Everything a step changes.

    Fields:
      step: steps taken, int32.
      params, batch_stats: of the model; batch_stats is empty without batch norm.
      opt_state: of the optimiser.
      ema: moving average of the parameters, or None.
      key: raw uint32 key; that of a step is folded with its number, so that a resumed run draws what it would have drawn.
    """

    step: Array
    params: Any
    batch_stats: Any
    opt_state: Any
    ema: Any
    key: Array

    @classmethod
    def create(cls, variables: Any, optimiser: optax.GradientTransformation, key: Array, with_ema: bool) -> TrainState:
        """The state before the first step."""
        params = variables["params"]
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=optimiser.init(params),
            ema=jax.tree.map(jnp.copy, params) if with_ema else None,
            key=key,
        )

    def variables(self, averaged: bool = False) -> dict[str, Any]:
        """What `model.apply` takes."""
        variables = {"params": self.ema if averaged else self.params}
        return variables | ({"batch_stats": self.batch_stats} if self.batch_stats else {})
