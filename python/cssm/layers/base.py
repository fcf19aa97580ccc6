"""What the sCSSM and its controls have in common: their fields, and what they return."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


class DeltaMixer(nn.Module):
    """A mixing layer o = D(S), S a causal recurrence over the frames of x and D a Dense(C), returned as o - x.

    The wrapper adds x back, so the block's net effect is o and nothing skips the layer; `residual=True` returns o,
    which makes the net effect x + o.

    Fields:
      channels: C, the size of the last axis of x.
      kernel_size: K, the side of the spatial kernel.
      spectral_rho: bound on the transition, in (0, 1].
      residual: return o instead of o - x.

    Subclasses implement `__call__(x, injected_qkv_spatial=None)`, x (B, T, H, W, C) floating to the same shape in the
    promoted dtype of x and float32; the second argument is accepted by every mixer and read by none of these.

    A subclass whose call takes `last_only=True`, to return the last frame alone as (B, 1, H, W, C), says so in
    `returns_last`.

    Raises, on a call: ValueError or TypeError for an x of another rank, channel count or kind, or a field out of range.
    """

    channels: int
    kernel_size: int = 5
    spectral_rho: float = 0.999
    residual: bool = False
    # Read by none of these layers: accepted because the wrapper and the configs of old checkpoints pass them.
    block_size: int = 1
    rope_mode: str = "none"
    rope_base: float = 10000.0
    gate_type: str = "dense"
    position_independent_gates: bool = False
    short_conv_size: int = 4
    short_conv_spatial_size: int = 0

    returns_last: ClassVar[bool] = False

    def checked(self, x: Array) -> Array:
        """x in the dtype the layer computes in, after checking it and the fields."""
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(f"x: got dtype {x.dtype}, expected a real floating dtype")
        if x.ndim != 5:
            raise ValueError(f"x: got shape {x.shape}, expected (B, T, H, W, C)")
        if x.shape[-1] != self.channels:
            raise ValueError(f"x: got {x.shape[-1]} channels in shape {x.shape}, expected channels={self.channels}")
        if self.kernel_size < 1:
            raise ValueError(f"kernel_size: got {self.kernel_size}, expected a positive integer")
        if not 0 < self.spectral_rho <= 1:
            raise ValueError(f"spectral_rho: got {self.spectral_rho}, expected a number in (0, 1]")
        return x.astype(jnp.promote_types(x.dtype, jnp.float32))

    def spatial_kernel(self, dtype: DTypeLike) -> Array:
        """The parameter `kernel` (C, K, K), float32 and normal with standard deviation 0.02, in `dtype`."""
        shape = (self.channels, self.kernel_size, self.kernel_size)
        return self.param("kernel", nn.initializers.normal(0.02), shape, jnp.float32).astype(dtype)

    def project(self, states: Array, x: Array) -> Array:
        """o - x, or o with `residual`, from the states S (B, T, H, W, C); must be called from a compact `__call__`."""
        o = nn.Dense(self.channels, name="out_proj")(states)
        return o if self.residual else o - x
