"""The horizontal gated recurrent unit as a linear system: excitation and inhibition of three states a channel."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.coupled import CoupledMixer, System, square
from cssm.layers.frequency_gated import Gate
from cssm.nn.gates import bounded_decay

COUPLING_ACTS: dict[str, Callable[[Array], Array]] = {"sigmoid": jax.nn.sigmoid, "softplus": jax.nn.softplus}


class HGRUBilinearCSSM(CoupledMixer):
    r"""s_t = A_t s_{t-1} + G_t u_hat_t of three states (X, Y, Z), read as `CoupledMixer` says, with

              | d_x         -mu_I K_I    -alpha_I K_I |
        A  =  | mu_E K_E     d_y          alpha_E K_E |      G = diag(B, D, E)
              | gamma        delta        d_z         |

    K = kappa(kernel) of excitation and inhibition, decays d = 0.1 + 0.89 sigmoid, sigmoid B, D, E. No bound holds for A as
    a whole: gamma + delta + d_z can exceed 1. Registry key `hgru_bi`; source: CSSM model specification 2.3.

    Fields, besides those of `CoupledMixer`:
      gate_activation: of mu, alpha, gamma and delta; sigmoid or softplus.
      concat_xyz: not read, as published.

    Parameters: k_exc, k_inh (C, K, K); input_proj (C, 3C); thirteen gates (C, HF); output_proj (nC, C) of n > 1 states read.
    """

    gate_activation: str = "sigmoid"
    readout_state: str = "xyz"
    concat_xyz: bool = True

    state_names: ClassVar[str] = "xyz"

    def check_fields(self) -> None:
        super().check_fields()
        self.check_choice("gate_activation", COUPLING_ACTS)
        if not self.concat_xyz:
            warnings.warn("concat_xyz=False has no effect, as published", stacklevel=2)

    def system(self, gate: Gate, k_hat: Callable[..., Array]) -> System:
        act = COUPLING_ACTS[self.gate_activation]
        excite, inhibit = k_hat("k_exc"), k_hat("k_inh")
        one = jnp.ones((), excite.dtype)
        d_x, d_y, d_z = (bounded_decay(gate(f"decay_{state}_gate")) for state in "xyz")
        mu_i, mu_e, alpha_i, alpha_e, gamma, delta = (
            act(gate(f"{name}_gate"))
            for name in ("mu_inhib", "mu_excit", "alpha_inhib", "alpha_excit", "gamma", "delta")
        )
        return System(
            gates=square([[d_x, mu_i, alpha_i], [mu_e, d_y, alpha_e], [gamma, delta, d_z]]),
            kernels=square([[one, -inhibit, -inhibit], [excite, one, excite], [one, one, one]]),
            inputs=jnp.stack([jax.nn.sigmoid(gate(f"{name}_gate")) for name in "BDE"], -1),
        )
