"""One state a channel without gates: the plainest spectral recurrence with a decay of its own."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import State
from cssm.layers.frequency_gated import FrequencyGatedMixer
from cssm_kernels import spectral_scan


class LinearCSSM(FrequencyGatedMixer):
    """h_t = d kappa(kernel) h_{t-1} + rfft2(x_t);  returns irfft2(h), a residual update.

    d a parameter of each channel, clipped to [0.1, 0.99]. Registry key `linear`: the published package has the class but no
    key. Source: CSSM model specification 2.16.

    Fields, besides those of `Mixer`: spectral_rho, in (0, 1]; implementation, of `cssm_kernels.spectral_scan`.

    Parameters: kernel (C, K, K); decay (C), 0.9.
    """

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone costs half the transforms."""
        x = self.checked(x)
        first = 0 if state is None else state["t"]
        with jax.named_scope("transition"):
            a = self.k_hat("kernel", x, init=nn.initializers.normal(0.02)) * decay(self, x)
        with jax.named_scope("spectral_scan"):
            y, final = spectral_scan(
                self.rotated(x, first),
                a,
                None if state is None else state["h"],
                last_only=last_only,
                return_final=True,
                implementation=self.implementation,
            )
        return y[:, None] if last_only else y, {"t": jnp.asarray(first + x.shape[1]), "h": final}


def decay(layer: FrequencyGatedMixer, x: Array) -> Array:
    """The parameter `decay` (C), 0.9 at first, clipped to [0.1, 0.99]."""
    value = layer.parameter("decay", nn.initializers.constant(0.9), (layer.channels,))
    return jnp.clip(value, 0.1, 0.99).astype(jnp.promote_types(x.dtype, jnp.float32))
