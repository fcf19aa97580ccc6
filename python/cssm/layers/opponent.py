"""Excitation and inhibition of two states a channel: the opponent layers."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import State
from cssm.layers.coupled import System, square
from cssm.layers.frequency_gated import FrequencyGatedMixer
from cssm.layers.linear import decay
from cssm.nn.gates import spatial_mean
from cssm.nn.spectra import to_space, to_spectrum


class LinearOpponentCSSM(FrequencyGatedMixer):
    r"""X_t = alpha X_{t-1} - mu K_I Y_{t-1} + B rfft2(x_t),   Y_t = gamma K_E X_{t-1} + delta Y_{t-1};  irfft2(C X).

    K = kappa(kernel); alpha, delta a decay d of each channel, clipped to [0.1, 0.99], times sigmoids; mu, gamma, B and C
    sigmoids; all of the spatial mean of x. A residual update. Each entry of A is below 1, which does not bound A: with d on
    the diagonal and couplings of product p its eigenvalues are d +- i sqrt(p). Registry key `linear_opponent`: the published
    package has the class but no key. Source: CSSM model specification 2.16, and 7 of the CoTracker one.

    Fields, besides those of `FrequencyGatedMixer`:
      bounded: couplings mu (rho - alpha) and gamma (rho - delta), at least 0, instead of mu and gamma: no row of A then sums
        to more than rho = spectral_rho, and states stay bounded over any length. As published where false.
      implementation: of `cssm_kernels.coupled_scan`.

    Parameters: k_exc, k_inh (C, K, K); decay (C), 0.9; alpha_gate, delta_gate, mu_gate, gamma_gate, B_gate, C_gate (C, HF).
    """

    bounded: bool = False

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the inverse transforms of the others."""
        x = self.checked(x)
        before = state or {"t": 0, "s": None}
        turned = self.rotated(x, before["t"])
        with jax.named_scope("gates"):
            gate = self.gates(spatial_mean(turned), x)
            system = self._system(lambda name: jax.nn.sigmoid(gate(name)), x)
        with jax.named_scope("recurrence"):
            u_hat = to_spectrum(turned, self.implementation)
            u_hat = jnp.stack([u_hat, jnp.zeros_like(u_hat)], axis=-1)
            states, final = system.run(u_hat, before["s"], self.implementation)
        with jax.named_scope("output"):
            y = self.read(states[:, -1:] if last_only else states, x)
        return y, {"t": jnp.asarray(before["t"] + x.shape[1]), "s": final}

    def read(self, states: Array, x: Array) -> Array:
        """What the layer returns, of the gated states (B, T, H, F, C, 2)."""
        return to_space(states[..., 0], x.shape[3], self.implementation).astype(x.dtype)

    def _system(self, rate: Callable[[str], Array], x: Array) -> System:
        excite, inhibit = (self.k_hat(name, x, init=nn.initializers.normal(0.02)) for name in ("k_exc", "k_inh"))
        d = decay(self, x)
        names = ("alpha", "delta", "mu", "gamma", "B", "C")
        alpha, delta, to_x, to_y, b, c = (rate(f"{name}_gate") for name in names)
        alpha, delta = d * alpha, d * delta
        if self.bounded:
            to_x, to_y = (g * jax.nn.relu(self.spectral_rho - kept) for g, kept in ((to_x, alpha), (to_y, delta)))
        one = jnp.ones((), excite.dtype)
        return System(
            gates=square([[alpha, to_x], [to_y, delta]]),
            kernels=square([[one, -inhibit], [excite, one]]),
            inputs=jnp.stack([b, jnp.zeros_like(b)], -1),
            outputs=jnp.stack([c, c], -1),
        )


class OpponentCSSM(LinearOpponentCSSM):
    """`LinearOpponentCSSM` that reads both states through a projection: D(irfft2(C X), irfft2(C Y)).

    The layer that the published package calls opponent and standard and no longer has; `bounded` by default. Registry key
    `opponent`. Parameters: as there, and output_proj (2C, C), whose row 2 c + s is of channel c and state s.
    """

    bounded: bool = True

    def read(self, states: Array, x: Array) -> Array:
        y = to_space(states.reshape(*states.shape[:4], -1), x.shape[3], self.implementation).astype(x.dtype)
        return self.dense(self.channels, "output_proj")(y)
