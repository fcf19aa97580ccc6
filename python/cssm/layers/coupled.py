"""Layers with a few states a channel that drive one another in the spectral domain: what hgru_bi and transformer share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import State
from cssm.layers.frequency_gated import FrequencyGatedMixer, Gate
from cssm.nn.spectra import to_space, to_spectrum
from cssm.nn.states import StateDense
from cssm_kernels.coupled_scan import coupled_scan

PRE_OUTPUT_ACTS: dict[str, Callable[[Array], Array]] = {
    "none": lambda y: y,
    "gelu": jax.nn.gelu,  # the tanh approximation
    "silu": jax.nn.silu,
}


class System(NamedTuple):
    """s_t = (gates_t o kernels) s_{t-1} + inputs_t o u_hat_t, y_t = outputs_t o s_t, o entrywise, of k states a channel."""

    gates: Array  # (B, T, H, F, 1, k, k), real
    kernels: Array  # (H, F, C, k, k), complex
    inputs: Array | None = None  # (B, T, H, F, 1, k), real; None: 1
    outputs: Array | None = None  # likewise

    def run(self, u_hat: Array, before: Array | None, implementation: str | None) -> tuple[Array, Array]:
        """(y (B, T, H, F, C, k), the last s) for u_hat (B, T, H, F, C, k)."""
        return coupled_scan(
            self.gates,
            self.kernels,
            u_hat,
            self.inputs,
            self.outputs,
            before,
            axis=1,
            return_final=True,
            implementation=implementation,
        )


def square(rows: Sequence[Sequence[Array]]) -> Array:
    """(..., k, k) of its entries, which broadcast against each other."""
    entries = jnp.stack(jnp.broadcast_arrays(*(entry for row in rows for entry in row)), -1)
    return entries.reshape(*entries.shape[:-1], len(rows), len(rows))


def spectral_states(u: Array, states: int, implementation: str | None) -> Array:
    """(B, T, H, F, C, n), the spectra of u (B, T, H, W, C n)."""
    u_hat = to_spectrum(u, implementation)
    return u_hat.reshape(*u_hat.shape[:-1], -1, states)


class CoupledMixer(FrequencyGatedMixer):
    r"""s_t = A_t s_{t-1} + G_t u_hat_t;  returns D(act(irfft2(sigmoid(C_t) s_t))), a residual update.

    u = D(rotated x), k states a channel; A_t, k x k, holds gates of the frame's context ctx+ times the spectra of spatial
    kernels; G_t is diagonal. Gates (H, F) are shared by the channels. The published code runs the recurrence on logarithms,
    which differs by the floor of 1e-7 it puts under magnitudes. A subclass says what A and G are.

    Fields, besides those of `FrequencyGatedMixer`:
      readout_state: the states read, letters in the order of the layer's; reading one leaves no output projection.
      pre_output_act: act; none, gelu or silu.
      implementation: of `cssm_kernels.coupled_scan`.
      gate_rank, dense_mixing: not read, as published.
    """

    readout_state: str = ""
    pre_output_act: str = "none"
    gate_rank: int = 0
    dense_mixing: bool = False

    state_names: ClassVar[str] = ""

    def check_fields(self) -> None:
        super().check_fields()
        self.check_choice("pre_output_act", PRE_OUTPUT_ACTS)
        read = "".join(state for state in self.state_names if state in self.readout_state)
        if not read or read != self.readout_state:
            expected = f"letters of {self.state_names!r}, in this order"
            raise ValueError(f"readout_state: got {self.readout_state!r}, expected {expected}")
        if self.gate_rank:
            warnings.warn(f"gate_rank={self.gate_rank} has no effect, as published", stacklevel=2)

    def states_kept(self) -> str:
        """The states the recurrence runs."""
        return self.state_names

    def states_read(self) -> str:
        """Those that are read."""
        return self.readout_state

    def system(self, gate: Gate, k_hat: Callable[..., Array]) -> System:
        """The recurrence, from its gates and the kernels' spectra, k_hat(name, squash=True) -> (H, F, C)."""
        raise NotImplementedError

    def normalises(self) -> bool:
        """Whether the states are `normalised` before they are gated and read."""
        return False

    def normalised(self, states: Array) -> Array:
        """What is gated and read instead of the states (B, T, H, F, C, k)."""
        raise NotImplementedError

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the inverse transforms of the others."""
        x = self.checked(x)
        before = state or {"t": 0, "s": None}
        kept, read = self.states_kept(), self.states_read()
        with jax.named_scope("input"):
            turned = self.rotated(x, before["t"])
            how: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
            u = StateDense(len(kept), **how, implementation=self.implementation, name="input_proj")(turned)
        with jax.named_scope("gates"):
            gate = self.gates(self.context(x, turned, before["t"]), x)
            system = self.system(gate, lambda name, **how: self.k_hat(name, x, **how))
            outputs = jax.nn.sigmoid(gate("C_gate"))[..., None]
            if not self.normalises():
                system = system._replace(outputs=jnp.broadcast_to(outputs, (*outputs.shape[:-1], len(kept))))
        with jax.named_scope("recurrence"):
            u_hat = spectral_states(u, len(kept), self.implementation)
            y_hat, final = system.run(u_hat, before["s"], self.implementation)
        if last_only:
            y_hat, outputs = y_hat[:, -1:], outputs[:, -1:]
        with jax.named_scope("output"):
            if self.normalises():
                y_hat = outputs * self.normalised(y_hat)
            if read != kept:
                y_hat = jnp.stack([y_hat[..., kept.index(state)] for state in read], axis=-1)
            y_hat = y_hat.reshape(*y_hat.shape[:4], -1)
            y = PRE_OUTPUT_ACTS[self.pre_output_act](to_space(y_hat, x.shape[3], self.implementation).astype(x.dtype))
            if len(read) > 1:
                y = self.dense(self.channels, "output_proj")(y)
        return y, {"t": jnp.asarray(before["t"] + x.shape[1]), "s": final}
