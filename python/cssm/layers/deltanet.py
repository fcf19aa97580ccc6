"""DeltaNet in the spectrum without what gdn puts around it: a scalar memory in every bin, or a small matrix a head."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from cssm.layers.base import State
from cssm.layers.delta_rule import DeltaRuleMixer
from cssm.layers.gate_types import GATE_TYPES, TypedGates
from cssm.nn.delta import frame_norm, spectral_delta_rule, squared_modulus
from cssm.nn.gates import timed_context
from cssm.nn.kernels import spectral_squash
from cssm.nn.spectra import spectral_dtype, to_space, to_spectrum
from cssm.nn.split_dense import SplitDense
from cssm_kernels import gated_scan


class DeltaNetMixer(DeltaRuleMixer):
    r"""o_t read from a memory under a delta rule;  returns D(irfft2(sigmoid(C_t) o_t)), or D(sigmoid(C_t) irfft2(o_t)).

    q, k, v are thirds of D(rotated x), and then rfft2 of each, q and k over their norms in the frame. The decay alpha in
    (0.1, 0.99), the rate beta in (0, 1) and sigmoid gates of k, v (where a subclass has them) and of the output come of each
    frame's context ctx+. A subclass says what the memory is.

    Fields, besides those of `DeltaRuleMixer`:
      gate_type: one of `cssm.layers.gate_types`, alpha and beta being its rates, one a head; but for conv and dense_decay,
        whose shapes do not fit here in the published code.
    """

    gate_types: ClassVar[tuple[str, ...]] = tuple(kind for kind in GATE_TYPES if kind not in ("conv", "dense_decay"))
    gates_inputs: ClassVar[bool]
    projection: ClassVar[str]

    def recur(
        self, alpha: Array, beta: Array, kappa: Array, k: Array, v: Array, q: Array, before: Array | None
    ) -> tuple[Array, Array]:
        """(o (B, T, H, F, C), the last memory) of spectra k, v, q, with gates that broadcast to (B, T, H, F, n)."""
        raise NotImplementedError

    @nn.compact
    def advance(self, x: Array, state: State | None, *, last_only: bool = False) -> tuple[Array, State]:
        """(y, state after) of the frames x; the last frame alone saves the inverse transforms of the others."""
        x = self.checked(x)
        before = state or {"t": 0, "S": None}
        after: dict[str, Any] = {"t": jnp.asarray(before["t"] + x.shape[1])}
        height, width = x.shape[2:4]
        kappa = self.head_kernels(height, width, spectral_dtype(x))
        with jax.named_scope("input"):
            turned = self.rotated(x, before["t"])
            dtypes: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
            q, k, v = SplitDense(self.channels, 3, **dtypes, implementation=self.implementation, name="qkv_proj")(
                turned
            )
        with jax.named_scope("gates"):
            ctx, heads = timed_context(turned, before["t"]), self.channels // self.key_dim
            gates = TypedGates(self, self.gate_type, turned, ctx, self.implementation, rates=heads)
            alpha, beta = gates.decay("alpha"), gates.rate("beta")
            inlets = [gates.io(name) for name in ("B_k", "B_v")] if self.gates_inputs else []
            outlet = gates.io("C_gate")
            in_space = gates.spatial_io
        with jax.named_scope("recurrence"):
            if inlets and in_space:
                k, v = k * inlets[0].astype(k.dtype), v * inlets[1].astype(v.dtype)
            q, k, v = (to_spectrum(z, self.implementation) for z in (q, k, v))
            if inlets and not in_space:
                k, v = k * inlets[0], v * inlets[1]
            y, after["S"] = self.recur(alpha, beta, kappa, k, v, q, before["S"])
        if last_only:
            y, outlet = y[:, -1:], outlet[:, -1:]
        with jax.named_scope("output"):
            if not in_space:
                y = y * outlet
            y = to_space(y, width, self.implementation)
            y = (y * outlet if in_space else y).astype(x.dtype)
            return self.dense(self.channels, self.projection)(y), after


class DeltaNetCSSM(DeltaNetMixer):
    r"""h_t = sq(alpha_t kappa (1 - beta_t |k_t|^2)) h_{t-1} + beta_t v_t conj(k_t),  o_t = h_t q_t, per bin and channel.

    sq keeps the transition below spectral_rho, once more. Around it `DeltaNetMixer`, with gates on k and v. Registry key
    `deltanet`; source: CSSM model specification 2.16.

    Parameters: kernel (C, K, K); qkv_proj (C, 3C); alpha, beta, B_k, B_v, C_gate; output_proj (C, C).
    """

    keeps_much: ClassVar[bool] = True
    gates_inputs: ClassVar[bool] = True
    projection: ClassVar[str] = "output_proj"

    @property
    def key_dim(self) -> int:
        return 1

    def recur(
        self, alpha: Array, beta: Array, kappa: Array, k: Array, v: Array, q: Array, before: Array | None
    ) -> tuple[Array, Array]:
        k, q = frame_norm(k), frame_norm(q)
        transition = spectral_squash(alpha * kappa * (1 - beta * squared_modulus(k)), self.spectral_rho)
        return gated_scan(
            transition,
            beta * jnp.conj(k),
            v,
            q,
            before,
            axis=1,
            return_final=True,
            implementation=self.implementation,
        )


class MatrixDeltaNetCSSM(DeltaNetMixer):
    r"""Per bin and head, S_t = alpha_t kappa_h S_{t-1} (I - beta_t conj(k_t) k_t^T) + beta_t v_t k_t^H,  o_t = S_t q_t.

    k is also over its norm in the bin. Around it `DeltaNetMixer`. Registry keys `deltanet_d2` and `deltanet_d3`; source:
    CSSM model specification 2.16.

    Fields, besides those of `DeltaNetMixer`:
      delta_key_dim: d, a divisor of C.
      textbook_delta: as of `GatedDeltaNetCSSM`.

    Parameters, n = C / d: kernel (n, K, K); qkv_proj (C, 3C); alpha, beta, C_gate; mat_deltanet_output_proj (C, C).
    """

    delta_key_dim: int = 2
    textbook_delta: bool = False

    gates_inputs: ClassVar[bool] = False
    projection: ClassVar[str] = "mat_deltanet_output_proj"

    @property
    def key_dim(self) -> int:
        return self.delta_key_dim

    def recur(
        self, alpha: Array, beta: Array, kappa: Array, k: Array, v: Array, q: Array, before: Array | None
    ) -> tuple[Array, Array]:
        return spectral_delta_rule(
            alpha * kappa,
            beta,
            k,
            v,
            q,
            before,
            key_dim=self.key_dim,
            textbook=self.textbook_delta,
            implementation=self.implementation,
        )


class MatrixDeltaNetD3CSSM(MatrixDeltaNetCSSM):
    """`MatrixDeltaNetCSSM` with keys of three components, registry key `deltanet_d3`."""

    delta_key_dim: int = 3
