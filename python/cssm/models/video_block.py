"""A block for any code that has (B, T, H, W, C) activations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.core import FrozenDict
from jax import Array
from jax.typing import DTypeLike

from cssm.layers.base import Mixer, State
from cssm.layers.registry import mixer_class
from cssm.nn.blocks import MLP


class VideoBlock(nn.Module):
    """x + mixer(norm1 x), then x + mlp(norm2 x): what a transformer block is to attention, for any mixing layer.

    Put it where a block with attention over space and time was. Mixers that return o - x, so that their sum with x skips
    nothing, return o here. Frame by frame: `block.apply(variables, state, x_t, method="step")`, None for the first state,
    for mixers that can.

    Fields:
      cssm_type: key of the mixer.
      mixer_options: its fields.
      mlp_ratio: width of the MLP over C; 0 for none.
      dtype, param_dtype: of the computation (None: promoted from x and the parameters) and the parameters.

    Parameters: norm1, mixer, norm2, mlp/{fc1, fc2}.
    """

    cssm_type: str = "no_gate"
    mixer_options: Mapping[str, Any] = FrozenDict()
    mlp_ratio: float = 4.0
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        object.__setattr__(self, "mixer_options", FrozenDict(self.mixer_options))  # keeps the module hashable
        super().__post_init__()

    def __call__(self, x: Array) -> Array:
        """(B, T, H, W, C) -> (B, T, H, W, C).

        Raises:
          TypeError, ValueError: as the mixer.
        """
        return self.advance(x, None)[0]

    def step(self, state: State | None, x_t: Array) -> tuple[State, Array]:
        """One frame more: (state, x_t (B, H, W, C)) -> (state, y_t).

        Raises:
          ValueError: the mixer cannot be run so.
        """
        why = self._mixer(x_t.shape[-1], parent=None).not_streaming
        if why:
            raise ValueError(f"cssm_type: {self.cssm_type!r} cannot be run frame by frame: {why}")
        y, state = self.advance(x_t[:, None], state)
        return state, y[:, 0]

    @nn.compact
    def advance(self, x: Array, state: State | None) -> tuple[Array, State]:
        """(y, state after) of the frames x (B, T, H, W, C) that follow those `state` comes from; None: x is the first."""
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        mixer = self._mixer(x.shape[-1], name="mixer")
        y, state = mixer.advance(nn.LayerNorm(**dtypes, name="norm1")(x), state)
        x = x + y
        if self.mlp_ratio > 0:
            x = x + MLP(self.mlp_ratio, **dtypes, name="mlp")(nn.LayerNorm(**dtypes, name="norm2")(x))
        return x, state

    def _mixer(self, channels: int, **module: Any) -> Mixer:
        cls = mixer_class(self.cssm_type)
        skips = {"residual": True} if "residual" in {field.name for field in dataclasses.fields(cls)} else {}
        options: dict[str, Any] = {**skips, **self.mixer_options, **module}
        return cls(channels=channels, dtype=self.dtype, param_dtype=self.param_dtype, **options)
