"""ConvS5: N complex states a channel, written and read through convolutions of the frames."""

from __future__ import annotations

import math
import warnings
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import DeltaMixer, State
from cssm.nn.depthwise import DepthwiseConv
from cssm.nn.s4 import log_step, uniform_phase
from cssm.nn.spectra import spectral_dtype
from cssm_kernels import gated_scan


class ConvS5CSSM(DeltaMixer):
    r"""S_t[n] = exp(Delta lambda[n]) S_{t-1}[n] + B(x_t)[n];  y_t = 2 Re sum_n C(x_t)[n] S_t[n];  o = D(y);  returns o - x.

    lambda = -exp(a_log) + i a_imag, N values shared by the channels, and Delta = exp(log_Delta) of each. B and C map every
    channel to N by depthwise convolutions, zero-padded. The states are summed as they are computed, and not stored.
    Registry key `convs5`; source: CSSM model specification 2.11.

    Fields, besides those of `DeltaMixer`:
      state_dim: N.
      num_groups: not read, as published; a warning says so where it is not 1.
      implementation: of `cssm_kernels.gated_scan` and the convolution.

    Parameters: a_log, a_imag (N); log_Delta (C); B_conv, C_conv/{kernel (K, K, 1, CN), bias (CN)}, output c N + n;
    out_proj (C, C).
    """

    kernel_size: int = 3
    state_dim: int = 16
    num_groups: int = 1
    implementation: str | None = None

    keeps_much: ClassVar[bool] = True

    def check_fields(self) -> None:
        super().check_fields()
        if self.state_dim < 1:
            raise ValueError(f"state_dim: got {self.state_dim}, expected a positive integer")
        if self.num_groups != 1:
            warnings.warn(f"num_groups={self.num_groups} has no effect: the states are never grouped", stacklevel=2)

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the convolution C of the others."""
        x = self.checked(x)
        transition = self._transition(spectral_dtype(x))
        read = x[:, -1:] if last_only else x
        with jax.named_scope("input"):
            b, c = self._convolution(x, "B_conv"), self._convolution(read, "C_conv")
        with jax.named_scope("recurrence"):
            # B(x) is the input gate of a constant input, and so stays real.
            y, final = gated_scan(
                transition[None, None, None, None],
                b,
                jnp.ones((1,) * 6, transition.dtype),
                None if last_only else c,
                None if state is None else state["S"],
                axis=1,
                state_axis=-1,
                return_final=True,
                implementation=self.implementation,
            )
            if last_only:
                y = (final[:, None] * c).sum(-1)
        with jax.named_scope("output"):
            return self.project(2 * y.real.astype(x.dtype), read), {"S": final}

    def _transition(self, dtype: jnp.dtype) -> Array:
        """(C, N)"""
        states = (self.state_dim,)
        a_log = self.parameter("a_log", nn.initializers.constant(math.log(0.5)), states).astype(dtype)
        a_imag = self.parameter("a_imag", uniform_phase, states).astype(dtype)
        step = jnp.exp(self.parameter("log_Delta", log_step, (self.channels,)).astype(dtype))
        return jnp.exp(step[:, None] * jax.lax.complex(-jnp.exp(a_log), a_imag))

    def _convolution(self, x: Array, name: str) -> Array:
        """(B, T, H, W, C, N)"""
        conv = DepthwiseConv(
            self.kernel_size,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            implementation=self.implementation,
            name=name,
        )
        y = conv(jnp.repeat(x, self.state_dim, axis=-1)).astype(spectral_dtype(x))
        return y.reshape(*x.shape, self.state_dim)
