"""Q, K and V with plain couplings, and a value whose spectrum is normalised."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import State
from cssm.layers.coupled import System, spectral_states, square
from cssm.layers.frequency_gated import FrequencyGatedMixer
from cssm.nn.gates import bounded_decay
from cssm.nn.spectra import standardised_logs, to_space
from cssm.nn.states import StateDense


class MultiplicativeTransformerCSSM(FrequencyGatedMixer):
    r"""s_t = A_t s_{t-1} + u_hat_t of three states (Q, K, V), u = D(rotated x);  returns D(irfft2(N(V_t))), with

              | d_Q k_q     w_KQ        0       |
        A  =  | w_QK        d_K k_k     0       |      N(V) = exp(gamma (n + i arg V) + beta)
              | w_QV        w_KV        d_V k_v |

    k the spectra of three kernels, as they are, decays d = 0.1 + 0.89 sigmoid, sigmoid w, n the standardised log |V| over
    the bins (H, F) of a frame and channel. A residual update; nothing bounds A. Registry key `mult_transformer`; source:
    CSSM model specification 2.16. The published code runs it on logarithms: states beyond 1e38 overflow here alone.

    Fields, besides those of `FrequencyGatedMixer`:
      position_independent_gates: gates from the spatial mean of x, without frame numbers.
      implementation: of `cssm_kernels.coupled_scan`.
      use_goom, spectral_rho: not read.

    Parameters: kernel_q, kernel_k, kernel_v (C, K, K); qkv_proj (C, 3C); gates d_Q, d_K, d_V, d_K_to_Q, d_Q_to_K, d_Q_to_V,
    d_K_to_V (C, HF); ln_gamma_v, ln_beta_v (C, 1, 1); output_proj (C, C).
    """

    position_independent_gates: bool = False
    use_goom: bool = True

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the inverse transforms of the others."""
        x = self.checked(x)
        before = state or {"t": 0, "s": None}
        with jax.named_scope("input"):
            turned = self.rotated(x, before["t"])
            how: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
            u = StateDense(3, **how, implementation=self.implementation, name="qkv_proj")(turned)
        with jax.named_scope("gates"):
            system = self._system(x, self.context(x, turned, before["t"]))
        with jax.named_scope("recurrence"):
            states, final = system.run(spectral_states(u, 3, self.implementation), before["s"], self.implementation)
        with jax.named_scope("output"):
            value = self._normalised(states[:, -1:, ..., 2] if last_only else states[..., 2])
            y = to_space(value, x.shape[3], self.implementation).astype(x.dtype)
            return self.dense(self.channels, "output_proj")(y), {
                "t": jnp.asarray(before["t"] + x.shape[1]),
                "s": final,
            }

    def _system(self, x: Array, ctx: Array) -> System:
        gate = self.gates(ctx, x)
        d_q, d_k, d_v = (bounded_decay(gate(f"d_{state}")) for state in "QKV")
        k_to_q, q_to_k, q_to_v, k_to_v = (
            jax.nn.sigmoid(gate(f"d_{pair}")) for pair in ("K_to_Q", "Q_to_K", "Q_to_V", "K_to_V")
        )
        none = jnp.zeros_like(d_q)
        k_q, k_k, k_v = (self.k_hat(f"kernel_{state}", x, squash=False) for state in "qkv")
        one = jnp.ones((), k_q.dtype)
        return System(
            gates=square([[d_q, k_to_q, none], [q_to_k, d_k, none], [q_to_v, k_to_v, d_v]]),
            kernels=square([[k_q, one, one], [one, k_k, one], [one, one, k_v]]),
        )

    def _normalised(self, value: Array) -> Array:
        scale, bias = (
            self.parameter(name, init, (self.channels, 1, 1)).astype(value.real.dtype)[:, 0, 0]
            for name, init in (("ln_gamma_v", nn.initializers.ones), ("ln_beta_v", nn.initializers.zeros))
        )
        logs, value = standardised_logs(value, axis=(2, 3))
        return jnp.exp(scale * (logs + 1j * jnp.angle(value)) + bias)
