"""The published sequential control: circular convolution of state and input, in real space."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import KernelMixer, State
from cssm.nn.circular import Offset, circular_recurrence
from cssm.nn.kernels import embed_kernel

VARIANTS = ("embedded", "compact")


class NoGateRealSpaceSeqCSSM(KernelMixer):
    """S_t = g * (S_{t-1} + x_t), step by step;  o = D(S);  returns o - x.

    embedded   g = k reversed on both axes, k = P(kernel) rho / (||P(kernel)||_2 + 1e-8), H x W taps
    compact    (g * s)[y] = sum_j k[j] s[y + j - (K-1)//2], k = kernel rho / (||kernel||_2 + 1e-8), K x K taps

    ||.||_2 per channel, * circular. Not the recurrence of `no_gate`: the input passes through g as well, and the norm
    does not bound |k_hat|, so S may grow with T. `variant='compact'` has the same parameters and other values.
    Registry key `no_gate_realspace_seq`; source: CSSM model specification 2.14.

    Parameters: kernel (C, K, K); out_proj/{kernel (C, C), bias (C)}.
    """

    variant: str = "embedded"

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x."""
        x = self.checked(x)
        kernel = self.spatial_kernel(x.dtype)
        if check_variant(self.variant) == "embedded":
            kernel = embed_kernel(kernel, *x.shape[2:4])
        g, offset = correlation_kernel(l2_normalised(kernel, self.spectral_rho), self.variant)
        with jax.named_scope("recurrence"):
            states = circular_recurrence(
                g,
                jnp.transpose(x, (1, 0, 4, 2, 3)),
                offset,
                filter_input=True,
                before=None if state is None else state["S"],
            )
        with jax.named_scope("projection"):
            return self.project(jnp.transpose(states, (1, 0, 3, 4, 2)), x), {"S": states[-1]}


def check_variant(variant: str) -> str:
    """Returns `variant`, or raises ValueError."""
    if variant not in VARIANTS:
        raise ValueError(f"variant: got {variant!r}, expected one of {', '.join(VARIANTS)}")
    return variant


def l2_normalised(kernel: Array, rho: float) -> Array:
    """(C, P, Q) scaled to an L2 norm just below rho in every channel."""
    # The square root's gradient is infinite at 0, so an all-zero kernel is kept away from it.
    power = jnp.sum(jnp.square(kernel), axis=(1, 2), keepdims=True)
    norm = jnp.where(power > 0, jnp.sqrt(jnp.where(power > 0, power, 1)), 0)
    return kernel * rho / (norm + 1e-8)


def correlation_kernel(k: Array, variant: str) -> tuple[Array, Offset]:
    """g and offset with which `circular_convolve` does what the variant's k stands for."""
    _, taps_y, taps_x = k.shape
    if variant == "embedded":
        return k[:, ::-1, ::-1], (0, 0)
    return k[:, ::-1, ::-1], (taps_y - 1 - (taps_y - 1) // 2, taps_x - 1 - (taps_x - 1) // 2)
