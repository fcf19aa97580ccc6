"""A temporal recurrence for any code that has (B, T, D) activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from cssm.nn.products import Dense
from cssm.nn.temporal import CausalConv
from cssm_kernels import linear_scan

State = Mapping[str, Any]
DECAY_SCALE = 8.0
SMALLEST_POWER = 1e-12


class RecurrentBlock(nn.Module):
    r"""y = D(gelu(g) h), (g, u) the halves of D(x), v = conv(u), and, elementwise over E = expand D features,

        h_t = a_t h_{t-1} + sqrt(1 - a_t^2) sigmoid(D(v_t)) v_t,   a_t = exp(-8 softplus(decay) sigmoid(D(v_t)))

    A real gated linear recurrence, causal, by `cssm_kernels.linear_scan`; put it where attention over time was:
    x + RecurrentBlock()(norm(x)). The square root keeps the variance of h that of its input. Frame by frame:
    `block.apply(variables, state, x_t, method="step")`, None for the first state.

    Fields:
      expand: E / D.
      conv_size: steps the convolution sees; 0 for none.
      implementation: of `linear_scan`.
      dtype, param_dtype: of the projections (None: promoted from x and the parameters) and the parameters; the state is
        float32 at least.

    Parameters: in_proj (D, 2E); conv/{kernel (s, 1, E), bias}; decay (E); recurrence_gate, input_gate (E, E);
    out_proj (E, D). At first a_t is between 0.9 and 0.999 where its gate is open.

    Source: De et al., "Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient Language Models" (2024).
    """

    expand: int = 1
    conv_size: int = 4
    implementation: str | None = None
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    def __call__(self, x: Array) -> Array:
        """(B, T, D) -> (B, T, D).

        Raises:
          TypeError, ValueError: x is no real floating (B, T, D), or a field is out of range.
        """
        return self.advance(x, None)[0]

    def step(self, state: State | None, x_t: Array) -> tuple[State, Array]:
        """One step more: (state, x_t (B, D)) -> (state, y_t (B, D))."""
        y, state = self.advance(x_t[:, None], state)
        return state, y[:, 0]

    @nn.compact
    def advance(self, x: Array, state: State | None) -> tuple[Array, State]:
        """(y, state after) of the steps x (B, T, D) that follow those `state` comes from; None: x is the first."""
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"x: got dtype {x.dtype}, expected a real floating dtype")
        if x.ndim != 3:
            raise ValueError(f"x: got shape {x.shape}, expected (B, T, D)")
        if self.expand < 1 or self.conv_size < 0:
            raise ValueError(f"expand, conv_size: got {self.expand}, {self.conv_size}, expected at least 1 and 0")
        how: dict[str, Any] = {
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
            "implementation": self.implementation,
        }
        features = self.expand * x.shape[-1]
        before = state or {"h": None, "v": None}
        gate, v = jnp.split(Dense(2 * features, **how, name="in_proj")(x), 2, axis=-1)
        memory = None
        if self.conv_size:
            conv = CausalConv(self.conv_size, **how, name="conv")
            v, memory = conv(v, before["v"])
        opening = jax.nn.sigmoid(Dense(features, **how, name="recurrence_gate")(v))
        inlet = jax.nn.sigmoid(Dense(features, **how, name="input_gate")(v))
        wide = jnp.promote_types(v.dtype, jnp.float32)
        decay = self.param("decay", _decays, (features,), self.param_dtype).astype(wide)
        log_a = -DECAY_SCALE * jax.nn.softplus(decay) * opening.astype(wide)
        # A gate that is shut has a = 1, where the square root's gradient is infinite.
        scale = jnp.sqrt(jnp.maximum(-jnp.expm1(2 * log_a), SMALLEST_POWER))
        with jax.named_scope("recurrence"):
            h, final = linear_scan(
                jnp.exp(log_a),
                scale * (inlet * v).astype(wide),
                before["h"],
                axis=1,
                return_final=True,
                implementation=self.implementation,
            )
        y = Dense(x.shape[-1], **how, name="out_proj")(jax.nn.gelu(gate) * h.astype(v.dtype))
        return y, {"h": final, "v": memory}


def _decays(key: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """decay such that exp(-8 softplus(decay)) is uniform in (0.9, 0.999)."""
    a = jax.random.uniform(key, shape, jnp.float32, 0.9, 0.999)
    return jnp.log(jnp.expm1(-jnp.log(a) / DECAY_SCALE)).astype(dtype)
