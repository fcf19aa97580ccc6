"""The delta rule on spectra: heads of d channels, each with a d x d memory in every bin.

Channel h d + i is component i of head h. Per bin and head, with decay a_t = alpha_t kappa_h and rate beta_t,

    s_t = a_t (I - beta_t k_t k_t^H) s_{t-1} + beta_t v_t[row] conj(k_t)     each row s of the memory S, as a column
    o_t = S_t q_t

Source: CSSM model specification 2.5.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from cssm.nn.frames import of_frames
from cssm_kernels import delta_scan


@of_frames
def frame_norm(z: Array) -> Array:
    """z (B, T, H, F, ...) over sqrt(sum |z|^2 + 1e-6), the sum over its half-spectrum, channel by channel."""
    return z * jax.lax.rsqrt(squared_modulus(z).sum((1, 2), keepdims=True) + 1e-6)


@of_frames
def unit_keys(k: Array) -> Array:
    """k (B, T, ..., d) over sqrt(sum |k|^2 + 1e-6), the sum over its components."""
    return k * jax.lax.rsqrt(squared_modulus(k).sum(-1, keepdims=True) + 1e-6)


def spectral_delta_rule(
    decay: Array,
    beta: Array,
    k: Array,
    v: Array,
    q: Array,
    before: Array | None,
    *,
    key_dim: int,
    frame_norms: bool = True,
    textbook: bool,
    implementation: str | None,
) -> tuple[Array, Array]:
    """(o (B, T, H, F, C), the last S (B, H, F, n, d, d)) of spectra k, v, q (B, T, H, F, C), n = C / d heads.

    `decay` and `beta` broadcast to (B, T, H, F, n). q and k are divided by their norms in the frame, unless told not to, and
    k then by its norm in the bin. As published the direction erased is k, as a column, and that written
    conj(k): with `textbook` both are conj(k), the delta rule S <- S (I - beta k k^H) + beta v k^H.
    """
    k, v, q = (z.reshape(*z.shape[:-1], -1, key_dim) for z in (k, v, q))
    q = frame_norm(q) if frame_norms else q
    k = jax.checkpoint(lambda k: unit_keys(frame_norm(k) if frame_norms else k))(k)
    o, after = delta_scan(
        decay,
        beta,
        jnp.conj(k) if textbook else k,
        v,
        q,
        before,
        axis=1,
        write_key="plain" if textbook else "conj",
        return_final=True,
        implementation=implementation,
    )
    return o.reshape(*o.shape[:-2], -1), after


def squared_modulus(z: Array) -> Array:
    """|z|^2, with a gradient at zero."""
    return jnp.square(z.real) + jnp.square(z.imag) if jnp.iscomplexobj(z) else jnp.square(z)
