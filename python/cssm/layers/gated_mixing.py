"""The forms of the gated CSSM in which channels mix in the spectral domain, without projections around the recurrence.

    dense      h_t = exp(-Delta_t) kappa h_{t-1} + (Delta_t + 1e-8) sigmoid(B_t) x_hat_t;  y = irfft2(sigmoid(C_t) h)
    low rank   the same h with a transition for each channel;  y = irfft2(v + s v V_down V_up),  v = sigmoid(C_t) h

In the dense form channels are zero-padded to n blocks of d = min(block_size, C), kappa is a matrix d x d for each block and
bin, of embedded kernels squashed entry by entry (so that the matrix has no bound), and each block has gates of its own. In
the low-rank form V_down is (C, r) and V_up (r, C), complex, and s the parameter mix_scale. Gates are dense, from the spatial
mean of x. Source: CSSM model specification 2.2.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from cssm.layers.base import Mixer, State
from cssm.nn.gates import dense_gate, spatial_mean, step_size
from cssm.nn.kernels import spectral_transition
from cssm.nn.spectra import spectral_dtype, to_space, to_spectrum
from cssm_kernels import gated_scan


class GatedMixing(Mixer):
    """What `GatedCSSM` is with `dense_mixing`; see the module's docstring.

    Fields, besides those of `Mixer`:
      block_size: d, for the dense form.
      spectral_rho: bound on |kappa|, of each entry in the dense form, in (0, 1].
      gate_activation: of Delta; softplus, sigmoid (twice the sigmoid) or exp.
      dense_mixing: mix channels.
      mixing_rank: r, for the low-rank form; 0 for the dense one.
      position_independent_gates: gates of mixed channels see x before its rotation.
      reference_layout: in the dense form, run the recurrence as the published code does: over an axis into which its
        (B, T, H, F) was reshaped, not transposed, so that steps are runs of T neighbours in that order. Off by default, as
        no published result has it; with it the layer is not causal.
      implementation: of `cssm_kernels.gated_scan`, in the low-rank form. The dense form is a `jax.lax.scan`, since blocks
        may be larger than any kernel of ours takes.

    Parameters, dense: kernel_blocks (n, d, d, K, K); delta_gate, B_gate, C_gate (n d, n HF). Low rank: kernel (C, K, K);
    V_down_real, V_down_imag (C, r); V_up_real, V_up_imag (r, C); mix_scale (1); delta_gate, B_gate, C_gate (C, HF).
    """

    block_size: int = 32
    spectral_rho: float = 0.999
    gate_activation: str = "softplus"
    dense_mixing: bool = False
    mixing_rank: int = 0
    position_independent_gates: bool = False
    reference_layout: bool = False
    implementation: str | None = None

    @property
    def not_streaming(self) -> str:  # type: ignore[override]
        """Why there is no `step`."""
        scrambled = self.dense_mixing and not self.mixing_rank and self.reference_layout
        return "reference_layout mixes time with frequency" if scrambled else ""

    def check_fields(self) -> None:
        super().check_fields()
        if not 0 < self.spectral_rho <= 1:
            raise ValueError(f"spectral_rho: got {self.spectral_rho}, expected a number in (0, 1]")
        if self.block_size < 1:
            raise ValueError(f"block_size: got {self.block_size}, expected a positive integer")
        if self.mixing_rank < 0:
            raise ValueError(f"mixing_rank: got {self.mixing_rank}, expected a rank >= 0")

    def mixed(self, x: Array, state: State | None, last_only: bool) -> tuple[Array, State]:
        """`advance`, of checked frames; must be called from a compact method."""
        before = state or {"t": 0, "h": None}
        turned = self.rotated(x, before["t"])
        ctx = spatial_mean(x if self.position_independent_gates else turned)
        form = self._low_rank if self.mixing_rank else self._dense_blocks
        y, final = form(turned, ctx, before["h"], last_only)
        with jax.named_scope("output"):
            y = to_space(y, x.shape[3], self.implementation).astype(x.dtype)
        return y, {"t": jnp.asarray(before["t"] + x.shape[1]), "h": final}

    def kappa(self, height: int, width: int, dtype: jnp.dtype) -> Array:
        """(H, F, C), of the parameter `kernel`."""
        shape = (self.channels, self.kernel_size, self.kernel_size)
        kernel = self.parameter("kernel", nn.initializers.normal(0.02), shape).astype(dtype)
        return jnp.moveaxis(spectral_transition(kernel, height, width, self.spectral_rho), 0, -1)

    def _gates(self, ctx: Array, blocks: int, x: Array) -> list[Array]:
        """Delta, B and C, (B, T, n H, F, 1)."""
        rows, columns = blocks * x.shape[2], x.shape[3] // 2 + 1
        gates = [dense_gate(self.dense, ctx, name, rows, columns) for name in ("delta_gate", "B_gate", "C_gate")]
        delta, b, c = (gate.astype(spectral_dtype(x)) for gate in gates)
        return [step_size(delta, self.gate_activation), jax.nn.sigmoid(b), jax.nn.sigmoid(c)]

    def _low_rank(self, x: Array, ctx: Array, h0: Array | None, last_only: bool) -> tuple[Array, Array]:
        """(y_hat (B, T, H, F, C), final state)"""
        kappa = self.kappa(x.shape[2], x.shape[3], spectral_dtype(x))
        normal, rank = nn.initializers.normal(0.02 / math.sqrt(self.mixing_rank)), self.mixing_rank
        down, up = (
            lax.complex(*(self.parameter(f"V_{name}_{part}", normal, shape) for part in ("real", "imag")))
            for name, shape in (("down", (self.channels, rank)), ("up", (rank, self.channels)))
        )
        scale = self.parameter("mix_scale", nn.initializers.constant(0.1), (1,))
        delta, b, c = self._gates(ctx, 1, x)
        with jax.named_scope("recurrence"):
            y, final = gated_scan(
                jnp.exp(-delta) * kappa,
                (delta + 1e-8) * b,
                to_spectrum(x, self.implementation),
                c,
                h0,
                axis=1,
                return_final=True,
                implementation=self.implementation,
            )
        y = y[:, -1:] if last_only else y
        with jax.named_scope("mixing"):
            down, up = down.astype(y.dtype), up.astype(y.dtype)
            return y + scale.astype(y.real.dtype) * ((y @ down) @ up), final

    def _dense_blocks(self, x: Array, ctx: Array, h0: Array | None, last_only: bool) -> tuple[Array, Array]:
        """(y_hat (B, T, H, F, C), final state (B, HF, n, d))"""
        size = min(self.block_size, self.channels)
        blocks = -(-self.channels // size)
        batch, length, height, width, channels = x.shape
        extra = blocks * size - channels
        bins = height * (width // 2 + 1)

        kernels = self.parameter(
            "kernel_blocks",
            nn.initializers.normal(0.02),
            (blocks, size, size, self.kernel_size, self.kernel_size),
        ).astype(spectral_dtype(x))
        flat = kernels.reshape(-1, *kernels.shape[3:])
        kappa = spectral_transition(flat, height, width, self.spectral_rho)
        kappa = jnp.moveaxis(kappa.reshape(*kernels.shape[:3], bins), -1, 0)

        def by_bin(gate: Array) -> Array:
            """(B, T, HF, n, 1)"""
            return jnp.moveaxis(gate.reshape(batch, length, blocks, bins, 1), 2, 3)

        ctx = jnp.pad(ctx, [(0, 0), (0, 0), (0, extra)])
        delta, b, c = map(by_bin, self._gates(ctx, blocks, x))
        x_hat = jnp.pad(to_spectrum(x, self.implementation), [(0, 0)] * 4 + [(0, extra)])
        u = (delta + 1e-8) * b * x_hat.reshape(batch, length, bins, blocks, size)
        with jax.named_scope("recurrence"):
            if self.reference_layout:
                h, final = _scrambled_scan(kappa, jnp.exp(-delta), u)
            else:
                h, final = _block_scan(kappa, jnp.exp(-delta), u, h0)
        y = (c * h)[:, -1:] if last_only else c * h
        return y.reshape(*y.shape[:2], height, -1, blocks * size)[..., :channels], final


def _block_scan(kappa: Array, decay: Array, u: Array, h0: Array | None) -> tuple[Array, Array]:
    """h_t = decay_t kappa h_{t-1} + u_t over axis 1; kappa (HF, n, d, d), decay (B, T, HF, n, 1), u (B, T, HF, n, d)."""

    def step(h: Array, operands: tuple[Array, Array]) -> tuple[Array, Array]:
        decay_t, u_t = operands
        h = decay_t * jnp.einsum("fnij,bfnj->bfni", kappa, h) + u_t
        return h, h

    h0 = jnp.zeros_like(u[:, 0]) if h0 is None else h0
    final, h = lax.scan(step, h0, (jnp.moveaxis(decay, 1, 0), jnp.moveaxis(u, 1, 0)))
    return jnp.moveaxis(h, 0, 1), final


def _scrambled_scan(kappa: Array, decay: Array, u: Array) -> tuple[Array, Array]:
    """The published one: (B, T, HF) reshaped to (B HF, T), and what comes of it read as (B, HF, T)."""
    batch, length, bins = u.shape[:3]
    # The bin whose transition acts at each step of each sequence.
    order = (jnp.arange(batch * bins * length) % bins).reshape(-1, length)

    def step(h: Array, operands: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        order_t, decay_t, u_t = operands
        h = decay_t * jnp.einsum("fnij,fnj->fni", kappa[order_t], h) + u_t
        return h, h

    decay, u = (v.reshape(-1, length, *v.shape[3:]).swapaxes(0, 1) for v in (decay, u))
    _, h = lax.scan(step, jnp.zeros_like(u[0]), (order.T, decay, u))
    h = jnp.moveaxis(h.reshape(length, batch, bins, *h.shape[2:]), 0, 1)
    return h, h[:, -1]
