"""Additive Q/K/V layers: one to three states a channel, each driven by those before it, the last one read."""

from __future__ import annotations

import warnings
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import State
from cssm.layers.frequency_gated import FrequencyGatedMixer
from cssm.layers.gate_types import GATE_TYPES, TypedGates
from cssm.nn.spectra import to_space, to_spectrum
from cssm.nn.split_dense import SplitDense
from cssm_kernels import linear_scan

SCAN_MODES = ("associative", "ssd", "quadratic", "pallas")
VARIANTS = ("no_k_state", "single_state", "use_delta_rule")


class AdditiveCSSM(FrequencyGatedMixer):
    r"""Per bin and channel, of the states before this frame, and then returning D(irfft2(C V)):

        Q <- d_Q kappa Q + B_Q q_hat
        K <- d_K kappa K + w_kq kappa Q + B_K k_hat
        V <- d_V V + gamma (Q + K) + B_V v_hat

    q, k, v are thirds of D(rotated x), and kappa comes of one kernel. Decays d = 0.1 + 0.89 sigmoid, couplings w, gamma and
    gates B, C = sigmoid, all of each frame. Every state is one `linear_scan`, after those that drive it. Registry keys
    `add_kqv`, `add_kqv_2`, `add_kqv_1`, `add_delta`; source: CSSM model specification 2.16. The published code runs the
    recurrence on logarithms, which differs by the floor of 1e-7 it puts under magnitudes and under zeros of the matrix.

    Fields, besides those of `FrequencyGatedMixer`:
      gate_type: dense, scalar, channel, conv, dense_decay, dense_io, factored, spectral_conv or low_rank
        (`cssm.layers.gate_types`).
      no_k_state: Q and V alone, of halves q and v.
      single_state: X <- d_X kappa X + B_X x_hat, read in V's place.
      use_delta_rule: q and k over their norms across channels, d_V (1 - beta) for d_V, and V conj(Q) / (|Q| + 1e-6) read.
      learned_init: states start from exp(init_real + i init_imag) of each channel, not from 0.
      scan_mode, use_ssd: ways to run one recurrence, which give the same numbers here, but for what becomes of
        learned_init, as published: ssd and quadratic start from 0 (a warning says so), and pallas, of a single state, from
        init_real + i init_imag itself.
      use_complex32, use_complex16: not read, with a warning; states are complex64.
      use_goom, ssd_chunk_size: not read.

    The call's `injected_qkv_spatial` (B, T, H, W, C, 3) replaces q, k, v where there are three.

    Parameters: kernel (C, K, K); init_real, init_imag (1, 1, C, 1, 1, n), of one state (1, 1, C, 1, 1); qkv_proj (C, 3C),
    qv_proj (C, 2C) or x_proj (C, C); d_Q, d_V, gamma, B_Q, B_V, C_gate, with K d_K, w_kq, B_K, with the delta rule beta; or
    d_X, B_X, C_gate; output_proj (C, C). Sown: qkv_spatial, and the states as Q_hat, K_hat, V_hat (B, T, C, H, F).
    """

    gate_type: str = "dense"
    no_k_state: bool = False
    single_state: bool = False
    use_delta_rule: bool = False
    learned_init: bool = False
    scan_mode: str = "associative"
    use_ssd: bool = False
    ssd_chunk_size: int = 8
    use_complex32: bool = False
    use_complex16: bool = False
    use_goom: bool = True

    def check_fields(self) -> None:
        super().check_fields()
        self.check_choice("gate_type", GATE_TYPES)
        self.check_choice("scan_mode", SCAN_MODES)
        chosen = [field for field in VARIANTS if getattr(self, field)]
        if len(chosen) > 1:
            raise ValueError(f"{chosen[1]}: got True with {chosen[0]}, expected at most one of {', '.join(VARIANTS)}")
        for field in ("use_complex32", "use_complex16"):
            if getattr(self, field):
                warnings.warn(f"{field}=True has no effect: states are complex64", stacklevel=2)
        if self.learned_init and self._mode in ("ssd", "quadratic"):
            warnings.warn(f"learned_init=True has no effect with scan_mode={self._mode!r}", stacklevel=2)

    def __call__(self, x: Array, injected_qkv_spatial: Array | None = None, *, last_only: bool = False) -> Array:
        """As `Mixer`'s, with q, k, v replaced by those given."""
        y = self.advance(x, None, last_only=last_only, injected=injected_qkv_spatial)[0]
        return y[:, -1:] if last_only else y

    @nn.compact
    def advance(
        self, x: Array, state: State | None, *, last_only: bool = False, injected: Array | None = None
    ) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the inverse transforms of the others."""
        x = self.checked(x)
        first = state["t"] if state else 0
        with jax.named_scope("input"):
            turned = self.rotated(x, first)
            inputs = self._inputs(turned, injected)
        kappa = self.k_hat("kernel", x)
        before = self._starts(kappa, x.shape[0]) if state is None else state
        gates = TypedGates(self, self.gate_type, turned, self.context(x, turned, first), self.implementation)
        with jax.named_scope("recurrence"):
            states, after = self._run(gates, kappa, inputs, before)
        with jax.named_scope("output"):
            gate = gates.io("C_gate")
            if last_only:
                states, gate = {name: s[:, -1:] for name, s in states.items()}, gate[:, -1:]
            y_hat = states[self._names[-1]]
            if self.use_delta_rule:
                y_hat = y_hat * jnp.conj(states["Q"]) / (jnp.abs(states["Q"]) + 1e-6)
            y = to_space(y_hat if gates.spatial_io else gate * y_hat, x.shape[3], self.implementation)
            y = self.dense(self.channels, "output_proj")((gate * y if gates.spatial_io else y).astype(x.dtype))
        return y, {"t": jnp.asarray(first + x.shape[1]), **after}

    @property
    def _names(self) -> str:
        """Of the states, in the order in which one drives the next."""
        return "X" if self.single_state else "QV" if self.no_k_state else "QKV"

    def _inputs(self, x: Array, injected: Array | None) -> dict[str, Array]:
        """q, k, v (B, T, H, W, C), by the state they enter."""
        count = len(self._names)
        proj = {1: "x_proj", 2: "qv_proj", 3: "qkv_proj"}[count]
        dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        inputs = SplitDense(self.channels, count, **dtypes, implementation=self.implementation, name=proj)(x)
        if count == 3 and injected is not None:
            if injected.shape != (*x.shape, 3):
                raise ValueError(f"injected_qkv_spatial: got shape {injected.shape}, expected {(*x.shape, 3)}")
            inputs = tuple(jnp.moveaxis(injected.astype(x.dtype), -1, 0))
        self.sow("intermediates", "qkv_spatial", jnp.stack(inputs, -1))
        if self.use_delta_rule:
            q, k, v = inputs
            inputs = (_over_norm(q), _over_norm(k), v)
        return dict(zip(self._names, inputs))

    def _run(
        self, gates: TypedGates, kappa: Array, inputs: dict[str, Array], before: State
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The states (B, T, H, F, C), and the last of each, by name."""
        states: dict[str, Array] = {}
        after: dict[str, Array] = {}
        for name, u in inputs.items():
            gate = gates.io(f"B_{name}")
            u_hat = to_spectrum(gate * u if gates.spatial_io else u, self.implementation)
            drive = u_hat if gates.spatial_io else gate * u_hat
            decay = gates.decay(f"d_{name}")
            if name == "V":
                drive += gates.rate("gamma") * sum(_delayed(states[s], before[s]) for s in states)
                decay = decay * (1 - gates.rate("beta")) if self.use_delta_rule else decay
            else:
                decay = decay * kappa
            if name == "K":
                drive += gates.rate("w_kq") * kappa * _delayed(states["Q"], before["Q"])
            states[name], after[name] = linear_scan(
                decay, drive, before[name], axis=1, return_final=True, implementation=self.implementation
            )
            self.sow("intermediates", f"{name}_hat", jnp.moveaxis(states[name], -1, 2))
        return states, after

    @property
    def _mode(self) -> str:
        return self.scan_mode if self.scan_mode == "quadratic" or not self.use_ssd else "ssd"

    def _starts(self, kappa: Array, batch: int) -> dict[str, Array | None]:
        """The state before the first frame, (B, H, F, C) of each, None for zero."""
        if not self.learned_init:
            return dict.fromkeys(self._names)
        shape = (1, 1, self.channels, 1, 1, *((len(self._names),) if len(self._names) > 1 else ()))
        real, imag = (
            self.parameter(f"init_{part}", nn.initializers.constant(value), shape).astype(kappa.real.dtype)
            for part, value in (("real", -10.0), ("imag", 0.0))
        )
        if self._mode in ("ssd", "quadratic"):
            return dict.fromkeys(self._names)
        start = jax.lax.complex(real, imag).reshape(self.channels, -1)
        start = start if self._mode == "pallas" and self.single_state else jnp.exp(start)
        return {name: jnp.broadcast_to(start[:, i], (batch, *kappa.shape)) for i, name in enumerate(self._names)}


def _over_norm(x: Array) -> Array:
    """x over its norm across channels."""
    squares = (x * x).sum(-1, keepdims=True)
    return x / (jnp.sqrt(squares + jnp.finfo(x.dtype).tiny) + 1e-6)


def _delayed(states: Array, before: Array | None) -> Array:
    """The state before each frame."""
    first = jnp.zeros_like(states[:, :1]) if before is None else before[:, None]
    return jnp.concatenate([first, states[:, :-1]], axis=1)


class AdditiveQVCSSM(AdditiveCSSM):
    """`AdditiveCSSM` without K, registry key `add_kqv_2`."""

    no_k_state: bool = True


class AdditiveSingleCSSM(AdditiveCSSM):
    """`AdditiveCSSM` of one state, registry key `add_kqv_1`."""

    single_state: bool = True


class AdditiveDeltaCSSM(AdditiveCSSM):
    """`AdditiveCSSM` with the delta rule, registry key `add_delta`."""

    use_delta_rule: bool = True
