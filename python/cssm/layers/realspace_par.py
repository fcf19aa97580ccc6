"""The published parallel control: the recurrence of `no_gate_realspace_seq` by an associative scan over kernels."""

from __future__ import annotations

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from cssm.layers.base import KernelMixer, State
from cssm.layers.realspace_seq import check_variant, correlation_kernel, l2_normalised
from cssm.nn.circular import circular_convolve
from cssm.nn.kernels import embed_kernel

COMBINES = ("published", "associative")


class NoGateRealSpaceParallelCSSM(KernelMixer):
    """Prefixes of (k_1, b_1) o (k_2, b_2) o ...,  b_t = g * x_t;  S_t is the prefix's b;  o = D(S);  returns o - x.

    k = P(kernel) rho / (||P(kernel)||_2 + 1e-8) at the image's size, and g(k) its reversal, as in
    `NoGateRealSpaceSeqCSSM` with the same `variant`.

    combine='published'     (k_i, b_i) o (k_j, b_j) = (g(k_j) * k_i, g(k_j) * b_i + b_j), k_t = k.  Reversing the
                            composed kernel again makes the operator not associative: S agrees with the sequential layer
                            for t <= 2 only, and depends on how the scan pairs its operands from t = 3 on.
    combine='associative'   (g_i, b_i) o (g_j, b_j) = (g_j * g_i, g_j * b_i + b_j), g_t = g(k):  the sequential layer.

    The composed kernels need no batch axis, and have none. Registry key `no_gate_realspace_par`; source: CSSM model
    specification 2.14.

    Parameters: kernel (C, K, K); out_proj/{kernel (C, C), bias (C)}.
    """

    variant: str = "embedded"
    combine: str = "published"

    not_streaming: ClassVar[str] = "its states come of a scan over composed kernels"

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x."""
        x = self.checked(x)
        check_variant(self.variant)
        if self.combine not in COMBINES:
            raise ValueError(f"combine: got {self.combine!r}, expected one of {', '.join(COMBINES)}")
        kernel = embed_kernel(self.spatial_kernel(x.dtype), *x.shape[2:4])
        k = l2_normalised(kernel, self.spectral_rho)
        with jax.named_scope("recurrence"):
            states = self._scan(k, jnp.transpose(x, (1, 0, 4, 2, 3)))
        with jax.named_scope("projection"):
            return self.project(jnp.transpose(states, (1, 0, 3, 4, 2)), x), {}

    def _scan(self, k: Array, x: Array) -> Array:
        g, offset = correlation_kernel(k, self.variant)
        published = self.combine == "published"

        def compose(pair: tuple[Array, Array, Array]) -> Array:
            k_i, b_i, k_j = pair
            operator, shift = correlation_kernel(k_j, self.variant) if published else (k_j, offset)
            return circular_convolve(operator, jnp.concatenate([k_i[None], b_i]), shift)

        def combine(earlier: tuple[Array, Array], later: tuple[Array, Array]) -> tuple[Array, Array]:
            # One pair of steps at a time: the matrices a convolution is built of are W times the size of its kernel.
            (k_i, b_i), (k_j, b_j) = earlier, later
            composed = lax.map(compose, (k_i, b_i, k_j))
            return composed[:, 0], composed[:, 1:] + b_j

        b = lax.map(lambda x_t: circular_convolve(g, x_t, offset), x)
        kernels = jnp.broadcast_to(k if published else g, (x.shape[0], *k.shape))
        return lax.associative_scan(combine, (kernels, b))[1]
