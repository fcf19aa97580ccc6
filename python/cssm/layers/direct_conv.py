"""Convolution per frame, then a scalar decay per channel: the control whose recurrence does not act on space.

    y_t = spatial_conv(x_t);  S_t = a S_{t-1} + y_t,  a = rho tanh(a_logit);  o = D(S);  returns o - x

with spatial_conv a depthwise K x K convolution, zero-padded. The layers differ in how they run the recurrence.
Parameters: spatial_conv/{kernel (K, K, 1, C), bias (C)}; a_logit (C), zeros; out_proj/{kernel (C, C), bias (C)}.
Source: CSSM model specification 2.15.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from cssm.layers.base import KernelMixer, State
from cssm.nn.depthwise import DepthwiseConv
from cssm_kernels import linear_scan


class DirectConvCSSM(KernelMixer):
    """The part the three layers share; see the module's docstring.

    Fields, besides those of `KernelMixer`:
      implementation: of the convolution and, where the recurrence is `cssm_kernels.linear_scan`, of that.
    """

    implementation: str | None = None

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x."""
        x = self.checked(x)
        with jax.named_scope("convolution"):
            y = DepthwiseConv(self.kernel_size, implementation=self.implementation, name="spatial_conv")(x)
        a_logit = self.param("a_logit", nn.initializers.zeros, (self.channels,), jnp.float32)
        a = self.spectral_rho * jnp.tanh(a_logit)
        with jax.named_scope("recurrence"):
            if state is not None:
                y = y.at[:, 0].add(a * state["S"])
            states = self.recurrence(a, y)
        with jax.named_scope("projection"):
            return self.project(states, x), {"S": states[:, -1]}

    def recurrence(self, a: Array, y: Array) -> Array:
        """S_t = a S_{t-1} + y_t along axis 1 of y (B, T, H, W, C), a (C), from zero."""
        raise NotImplementedError


class DirectConvSeqCSSM(DirectConvCSSM):
    """The recurrence step by step. Registry key `direct_conv_seq`."""

    def recurrence(self, a: Array, y: Array) -> Array:
        def step(s: Array, y_t: Array) -> tuple[Array, Array]:
            s = a * s + y_t
            return s, s

        by_time = jnp.moveaxis(y, 1, 0)
        return jnp.moveaxis(lax.scan(step, jnp.zeros_like(by_time, shape=by_time.shape[1:]), by_time)[1], 0, 1)


class DirectConvAssocCSSM(DirectConvCSSM):
    """The recurrence by `linear_scan`. Registry key `direct_conv_assoc`."""

    def recurrence(self, a: Array, y: Array) -> Array:
        return linear_scan(a.reshape(1, 1, 1, 1, -1), y, axis=1, implementation=self.implementation)


class DirectConvParallelCSSM(DirectConvCSSM):
    """The recurrence as one product with the lower-triangular a^(t-j). Registry key `direct_conv_parallel`."""

    def recurrence(self, a: Array, y: Array) -> Array:
        length = y.shape[1]
        # Powers by cumulative product: a ** (t - j) over the whole matrix has no finite gradient at a = 0, where a starts.
        factors = jnp.broadcast_to(a, (max(length - 1, 0), self.channels))
        powers = jnp.concatenate([jnp.ones_like(a, shape=(1, self.channels)), jnp.cumprod(factors, axis=0)])
        lag = jnp.arange(length)[:, None] - jnp.arange(length)
        toeplitz = jnp.where((lag >= 0)[..., None], powers[jnp.maximum(lag, 0)], 0)
        return jnp.einsum("tjc,bjhwc->bthwc", toeplitz, y)
