"""Layers with a few states a channel that drive one another in the spectral domain: what hgru_bi and transformer share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from cssm.layers.base import Mixer, State
from cssm.nn.gates import dense_gate, timed_context
from cssm.nn.kernels import embed_kernel, spectral_squash
from cssm.nn.spectra import spectral_dtype, to_space, to_spectrum
from cssm.nn.states import StateDense
from cssm_kernels import matrix_scan

PRE_OUTPUT_ACTS: dict[str, Callable[[Array], Array]] = {
    "none": lambda y: y,
    "gelu": jax.nn.gelu,  # the tanh approximation
    "silu": jax.nn.silu,
}


class System(NamedTuple):
    """s_t = (gates_t * kernels) s_{t-1} + inputs_t * u_t, componentwise products, of k states a channel."""

    gates: Array  # (B, T, H, F, 1, k, k), real
    kernels: Array  # (H, F, C, k, k), complex
    inputs: Array  # (B, T, H, F, 1, k), real


def square(rows: Sequence[Sequence[Array]]) -> Array:
    """(..., k, k) of its entries, which broadcast against each other."""
    entries = jnp.stack(jnp.broadcast_arrays(*(entry for row in rows for entry in row)), -1)
    return entries.reshape(*entries.shape[:-1], len(rows), len(rows))


def run_system(system: System, u_hat: Array, before: Array | None, implementation: str | None) -> tuple[Array, Array]:
    """(states (B, T, H, F, C, k), the last (B, H, F, C, k)) of u_hat (B, T, H, F, C, k)."""
    return matrix_scan(
        system.gates * system.kernels,
        system.inputs * u_hat,
        before,
        axis=1,
        return_final=True,
        implementation=implementation,
    )


class CoupledMixer(Mixer):
    r"""s_t = A_t s_{t-1} + G_t u_hat_t;  returns D(act(irfft2(sigmoid(C_t) s_t))), a residual update.

    u = D(rotated x), k states a channel; A_t, k x k, holds gates of the frame's context ctx+ times the spectrum of spatial
    kernels; G_t is diagonal. Gates (H, F) are shared by the channels. The published code runs the recurrence on logarithms,
    which differs by the floor of 1e-7 it puts under magnitudes. A subclass says what A and G are.

    Fields, besides those of `Mixer`:
      spectral_rho: bound on the spectrum of a kernel, in (0, 1].
      readout_state: the states read, letters in the order of the layer's; reading one leaves no output projection.
      pre_output_act: act; none, gelu or silu.
      implementation: of `cssm_kernels.matrix_scan`.
      gate_rank, dense_mixing: not read, as published.
    """

    spectral_rho: float = 0.999
    readout_state: str = ""
    pre_output_act: str = "none"
    implementation: str | None = None
    gate_rank: int = 0
    dense_mixing: bool = False

    encodes_positions: ClassVar[bool] = True
    state_names: ClassVar[str] = ""

    def check_fields(self) -> None:
        super().check_fields()
        if not 0 < self.spectral_rho <= 1:
            raise ValueError(f"spectral_rho: got {self.spectral_rho}, expected a number in (0, 1]")
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

    def system(self, gate: Callable[[str], Array], kernel: Callable[..., Array]) -> System:
        """The recurrence, from gate(name) -> (B, T, H, F, 1), unbounded, and kernel(name) -> (H, F, C)."""
        raise NotImplementedError

    def context(self, x: Array, turned: Array, first: int | Array) -> Array:
        """(B, T, C), from which the gates come: ctx+ of the rotated input."""
        return timed_context(turned, first)

    def normalised(self, states: Array) -> Array:
        """What is read, of the states (B, T, H, F, C, k)."""
        return states

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the inverse transforms of the others."""
        x = self.checked(x)
        before = state or {"t": 0, "s": None}
        kept, read = self.states_kept(), self.states_read()
        height, width = x.shape[2:4]
        dtype = spectral_dtype(x)
        with jax.named_scope("input"):
            turned = self.rotated(x, before["t"])
            u = self._state_dense(len(kept), "input_proj")(turned)
        with jax.named_scope("gates"):
            ctx = self.context(x, turned, before["t"])

            def gate(name: str) -> Array:
                return dense_gate(self.dense, ctx, name, height, width // 2 + 1).astype(dtype)

            system = self.system(gate, lambda name, **how: self._kernel(name, height, width, dtype, **how))
            output = jax.nn.sigmoid(gate("C_gate"))[..., None]
        with jax.named_scope("recurrence"):
            u_hat = to_spectrum(u, self.implementation).reshape(*output.shape[:4], self.channels, len(kept))
            states, final = run_system(system, u_hat, before["s"], self.implementation)
        if last_only:
            states, output = states[:, -1:], output[:, -1:]
        with jax.named_scope("output"):
            states = self.normalised(states)
            if read != kept:
                states = states[..., jnp.array([kept.index(state) for state in read])]
            y_hat = (states * output).reshape(*states.shape[:4], -1)
            y = PRE_OUTPUT_ACTS[self.pre_output_act](to_space(y_hat, width, self.implementation).astype(x.dtype))
            if len(read) > 1:
                y = self.dense(self.channels, "output_proj")(y)
        return y, {"t": jnp.asarray(before["t"] + x.shape[1]), "s": final}

    def _state_dense(self, states: int, name: str) -> StateDense:
        return StateDense(states, dtype=self.dtype, param_dtype=self.param_dtype, name=name)

    def _kernel(self, name: str, height: int, width: int, dtype: DTypeLike, squash: bool = True) -> Array:
        """kappa(k), or rfft2(P(k)) without `squash`: (H, F, C)."""
        shape = (self.channels, self.kernel_size, self.kernel_size)
        kernel = self.parameter(name, nn.initializers.xavier_normal(), shape).astype(dtype)
        k_hat = jnp.fft.rfft2(embed_kernel(kernel, height, width))
        return jnp.moveaxis(spectral_squash(k_hat, self.spectral_rho) if squash else k_hat, 0, -1)
