"""The layer that multiplies keys with queries: the one the name KQV stands for."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import State
from cssm.layers.frequency_gated import FrequencyGatedMixer
from cssm.nn.gates import bounded_decay
from cssm.nn.spectra import to_space, to_spectrum
from cssm_kernels import gated_scan


class KQVCSSM(FrequencyGatedMixer):
    r"""Of the spectra u_K, u_Q, u_V = rfft2(D(rotated x)), products componentwise:

        K_t = d_K kappa K_{t-1} + B_K u_K,t
        Q_t = d_Q kappa Q_{t-1} + B_Q u_Q,t
        V_t = d_V V_{t-1} + K_{t-1} Q_{t-1} B_V u_V,t;      returns D(irfft2(C V_t)), a residual update

    with V_0 = B_V u_V,0; kappa of one kernel, decays d = 0.1 + 0.89 sigmoid, all else sigmoid, of ctx+. V is thus gated by
    the product of what K and Q have accumulated. Registry key `kqv_product`; `kqv` is the published alias of `transformer`,
    which multiplies nothing. The published package has the scan operator alone, and that one is not associative: a parallel
    scan's result depends on how it groups the steps. This is its sequential meaning, with the true states K_{t-1}, Q_{t-1}.
    As they do not depend on V, three linear recurrences give it, each of which any `implementation` may run in parallel.
    Source: CSSM model specification 1.3.

    Fields, besides those of `FrequencyGatedMixer`:
      implementation: of `cssm_kernels.gated_scan`.

    Parameters: kernel (C, K, K); kqv_proj (C, 3C); gates d_K, d_Q, d_V, B_K, B_Q, B_V, C_gate (C, HF); output_proj (C, C).
    """

    starts_from_zeros: ClassVar[bool] = False

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the inverse transforms of the others."""
        x = self.checked(x)
        before = state or {"t": 0, "K": None, "Q": None, "V": None}
        after: dict[str, Any] = {"t": jnp.asarray(before["t"] + x.shape[1])}
        with jax.named_scope("input"):
            turned = self.rotated(x, before["t"])
            u = to_spectrum(self.dense(3 * self.channels, "kqv_proj")(turned), self.implementation)
            inputs = dict(zip("KQV", jnp.split(u, 3, axis=-1)))
        gate = self.gates(self.context(x, turned, before["t"]), x)
        kappa = self.k_hat("kernel", x)
        how: dict[str, Any] = dict(axis=1, return_final=True, implementation=self.implementation)
        product = jnp.ones((), kappa.dtype)
        with jax.named_scope("recurrence"):
            for name in "KQ":
                a, b = bounded_decay(gate(f"d_{name}")) * kappa, jax.nn.sigmoid(gate(f"B_{name}"))
                states, after[name] = gated_scan(a, b, inputs[name], None, before[name], **how)
                first = jnp.ones_like(states[:, :1]) if state is None else before[name][:, None]
                product *= jnp.concatenate([first, states[:, :-1]], axis=1)
            b = jax.nn.sigmoid(gate("B_V")) * product
            a, c = bounded_decay(gate("d_V")), jax.nn.sigmoid(gate("C_gate"))
            y, after["V"] = gated_scan(a, b, inputs["V"], c, before["V"], **how)
        with jax.named_scope("output"):
            y = to_space(y[:, -1:] if last_only else y, x.shape[3], self.implementation).astype(x.dtype)
            return self.dense(self.channels, "output_proj")(y), after
