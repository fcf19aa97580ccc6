"""The additive Q/K/A layer that the published package calls transformer, and kqv."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.coupled import CoupledMixer, System, square
from cssm.layers.frequency_gated import Gate
from cssm.nn.gates import bounded_decay
from cssm.nn.spectra import standardised_logs


class TransformerCSSM(CoupledMixer):
    r"""s_t = A_t s_{t-1} + G_t u_hat_t of three states (Q, K, A), read as `CoupledMixer` says, with

              | d_Q        w kappa    alpha kappa |
        A  =  | w kappa    d_K        0           |      G = diag(B_Q, B_K, B_A)
              | gamma      gamma      d_A         |

    kappa of one kernel, decays d = 0.1 + 0.89 sigmoid, all else sigmoid. It sums Q and K and multiplies nothing, for all its
    names. Registry keys `transformer` and `kqv`; source: CSSM model specification 2.4.

    Fields, besides those of `CoupledMixer`:
      position_independent_gates: gates from the spatial mean of x, without frame numbers.
      asymmetric_qk: a w of its own for each direction.
      no_feedback: alpha = 0.
      no_spectral_clip: rfft2 of the kernel as it is, for kappa.
      use_layernorm: standardise log |s| over the bins (H, F) of each frame, channel and state before it is read.
      no_k_state: (Q, A) alone, both read, without layer norm: A = [[d_Q, alpha kappa], [gamma, d_A]].
      gate_activation, concat_xy: not read, as published.

    Parameters: kernel (C, K, K); input_proj (C, 3C); gates decay_Q, decay_K, decay_A, w_qk or w_k_to_q and w_q_to_k, alpha,
    gamma, B_Q, B_K, B_A, C_gate, (C, HF) each; ln_gamma, ln_beta (C, 1, 1, 3); output_proj (nC, C) of n > 1 states read.
    """

    readout_state: str = "qka"
    position_independent_gates: bool = False
    asymmetric_qk: bool = False
    no_feedback: bool = False
    no_spectral_clip: bool = False
    use_layernorm: bool = False
    no_k_state: bool = False
    gate_activation: str = "sigmoid"
    concat_xy: bool = True

    state_names: ClassVar[str] = "qka"

    def states_kept(self) -> str:
        return "qa" if self.no_k_state else "qka"

    def states_read(self) -> str:
        return "qa" if self.no_k_state else self.readout_state

    def normalises(self) -> bool:
        return self.use_layernorm and not self.no_k_state

    def normalised(self, states: Array) -> Array:
        scale, bias = (
            self.parameter(name, init, (self.channels, 1, 1, 3)).astype(states.real.dtype)[:, 0, 0]
            for name, init in (("ln_gamma", nn.initializers.ones), ("ln_beta", nn.initializers.zeros))
        )
        logs, states = standardised_logs(states, axis=(2, 3))
        return states / jnp.abs(states) * jnp.exp(scale * logs + bias)

    def system(self, gate: Gate, k_hat: Callable[..., Array]) -> System:
        def rate(name: str) -> Array:
            return jax.nn.sigmoid(gate(name))

        kappa = k_hat("kernel", squash=not self.no_spectral_clip)
        one = jnp.ones((), kappa.dtype)
        d_q, d_a = bounded_decay(gate("decay_Q")), bounded_decay(gate("decay_A"))
        gamma, inputs = rate("gamma"), jnp.stack([rate(f"B_{state.upper()}") for state in self.states_kept()], -1)
        if self.no_k_state:
            return System(square([[d_q, rate("alpha")], [gamma, d_a]]), square([[one, kappa], [one, one]]), inputs)
        from_k, to_k = (rate("w_k_to_q"), rate("w_q_to_k")) if self.asymmetric_qk else (rate("w_qk"),) * 2
        none = jnp.zeros_like(gamma)
        alpha = none if self.no_feedback else rate("alpha")
        return System(
            gates=square([[d_q, from_k, alpha], [to_k, bounded_decay(gate("decay_K")), none], [gamma, gamma, d_a]]),
            kernels=square([[one, kappa, kappa], [kappa, one, one], [one, one, one]]),
            inputs=inputs,
        )
