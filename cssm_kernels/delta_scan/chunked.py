r"""delta_scan by chunks of time, in plain JAX: products of matrices where the others go a step at a time.

Within a chunk of L steps, let S_0 be the state before it, D_ij = a_{j+1} ... a_i for j <= i, and d_i = a_1 ... a_i. What is
erased at step i, x_i = beta_i a_i S_{i-1} conj(k_i), solves the unit lower-triangular system

    x_i + beta_i sum_{j<i} D_ij conj(k_i).k_j x_j = beta_i (d_i S_0 conj(k_i) + sum_{j<i} D_ij conj(k_i).w_j beta_j v_j)

and the state after step i is

    S_i = d_i S_0 + sum_{j<=i} D_ij (beta_j v_j w_j^T - x_j k_j^T).

All of it is affine in S_0. So each chunk is reduced to S_L = S_0 P + N and o = F S_0^T + R, chunks beside each other, and
only S goes from one to the next. Where w = k, y_i = beta_i v_i - x_i stands for both: it solves the same system with
beta_i (v_i - d_i S_0 conj(k_i)) on the right. A reset is a decay of zero. Decays are multiplied, never divided by nor taken
the logarithm of.

Source: Yang, Wang, Zhang, Shen and Kim, "Parallelizing linear transformers with the delta rule over sequence length" (2024),
and, with decays, Yang, Kautz and Hatamizadeh (2024).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from cssm_kernels._layout import initial_state, state_dtype, state_shape
from cssm_kernels._primitive import same_varying_axes
from cssm_kernels.delta_scan.reference import lanes

_MOST_STEPS = 64
# Elements of an L x L matrix over all lanes, and over as many chunks as are worked on beside each other.
_MATRIX_ELEMENTS = 2**18

# Where it is the fastest on a CPU, whose native kernels take 16 lanes at a time however few there are.
_FEWEST_STEPS, _MOST_LANES, _SMALLEST_STATE = 256, 4, 1024


def is_default(
    a: Array, beta: Array, k: Array, v: Array, q: Array, h0: Array | None, reset: Array | None, *, axis: int
) -> bool:
    """Whether it is what runs if nothing is named: long, wide and few. Not with resets, which must stop a NaN."""
    shape = lanes(a, beta, k, v, q, h0, reset)
    is_large = shape[axis] >= _FEWEST_STEPS and k.shape[-1] * v.shape[-1] >= _SMALLEST_STATE
    is_real = not jnp.issubdtype(v.dtype, jnp.complexfloating)
    return is_large and is_real and reset is None and math.prod(state_shape(shape, axis)) <= _MOST_LANES


def scan(
    a: Array,
    beta: Array,
    k: Array,
    v: Array,
    q: Array,
    h0: Array | None,
    reset: Array | None,
    *,
    axis: int,
    reverse: bool,
    write_key: str,
) -> tuple[Array, Array]:
    """(o, final), of operands aligned as in `reference`. Differentiated it keeps a state a group of chunks.

    Lanes are one dimension here, and no array has more than four: XLA crashes on some of seven on CPU (jax issue 40412).
    """
    shape, dtype = lanes(a, beta, k, v, q, h0, reset), state_dtype(v.dtype)
    steps, state, states = shape[axis], (v.shape[-1], k.shape[-1]), state_shape(shape, axis)
    n = math.prod(states)
    L = min(_MOST_STEPS, 1 << (steps - 1).bit_length())
    chunks = -(-steps // L)
    groups = -(-chunks // max(1, _MATRIX_ELEMENTS // max(1, L * L * n)))
    beside = -(-chunks // groups)
    padding = groups * beside * L - steps

    def by_chunk(x, neutral):
        """(groups, chunks beside each other x lanes, L, components...)"""
        own = x.shape[len(shape) :]
        x = jnp.broadcast_to(x.astype(state_dtype(x.dtype)), (*shape, *own))
        x = jnp.moveaxis(x, axis, 0).reshape(steps, n, *own)
        x = jnp.flip(x, 0) if reverse else x
        x = jnp.pad(x, [(0, padding)] + [(0, 0)] * (x.ndim - 1), constant_values=neutral)
        x = x.reshape(groups * beside, L, n, *own)
        return jnp.swapaxes(x, 1, 2).reshape(groups, beside * n, L, *own)

    same_key = write_key == "plain" or not jnp.iscomplexobj(k)

    @jax.checkpoint
    def group(S, operands):
        F, R, P, N = _affine(*operands, same_key=same_key)
        maps = [m.reshape(beside, n, *m.shape[1:]) for m in (P, N)]
        S, before = lax.scan(lambda S, PN: (_product(S, PN[0]) + PN[1], S), S, maps)
        return S, (_product(F, _transposed(before.reshape(-1, *state))) + R).astype(v.dtype)

    a = a if reset is None else jnp.where(reset, 0, a)
    operands = [by_chunk(a, 1), by_chunk(beta, 0), by_chunk(k, 0), by_chunk(v, 0), by_chunk(q, 0)]
    start = initial_state(h0, (*states, *state), dtype).reshape(n, *state)
    start, *operands = same_varying_axes([start, *operands])
    final, o = lax.scan(group, start, operands)
    o = jnp.swapaxes(o.reshape(groups * beside, n, L, state[0]), 1, 2)
    o = o.reshape(groups * beside * L, n, state[0])[:steps]
    o = (jnp.flip(o, 0) if reverse else o).reshape(steps, *shape[:axis], *shape[axis + 1 :], state[0])
    return jnp.moveaxis(o, 0, axis), final.reshape(*states, *state)


def _affine(a: Array, beta: Array, k: Array, v: Array, q: Array, *, same_key: bool) -> tuple[Array, ...]:
    """(F, R, P, N) of chunks: a, beta (chunks, L), vectors (chunks, L, d)."""
    D, d = _decays(a)
    last, d = D[:, -1, :, None], d[..., None]
    beta, kept, v = beta[..., None], jnp.conj(k), beta[..., None] * v
    inverse = _inverse(beta * D * _product(kept, _transposed(k)))
    read = jnp.tril(D * _product(q, _transposed(k)))
    W = _product(inverse, beta * d * kept)
    F = d * q - _product(read, W)
    P = d[:, -1:] * jnp.eye(k.shape[-1], dtype=k.dtype) - _product(_transposed(W), last * k)
    if same_key:
        y = _product(inverse, v)
        return F, _product(read, y), P, _product(_transposed(y), last * k)
    overlap = jnp.tril(D * _product(kept, _transposed(kept)), -1)
    x = _product(inverse, beta * _product(overlap, v))
    R = _product(jnp.tril(D * _product(q, _transposed(kept))), v) - _product(read, x)
    return F, R, P, _product(_transposed(v), last * kept) - _product(_transposed(x), last * k)


def _decays(a: Array) -> tuple[Array, Array]:
    """(D, d) of a (..., L): D_ij = a_{j+1} ... a_i for j <= i, else 0, and d_i = a_1 ... a_i."""
    if a.shape[-1] == 1:
        return jnp.ones_like(a)[..., None], a
    D, d = (jnp.split(x, 2) for x in _decays(jnp.concatenate(jnp.split(a, 2, -1))))
    corner = d[1][..., :, None] * D[0][..., -1:, :]
    return _lower(D[0], corner, D[1]), jnp.concatenate([d[0], d[0][..., -1:] * d[1]], -1)


def _inverse(A: Array) -> Array:
    """The inverse of I + the strictly lower triangle of A (chunks, L, L)."""
    L = A.shape[-1]
    if L == 1:
        return jnp.ones_like(A)
    h = L // 2
    early, late = jnp.split(_inverse(jnp.concatenate([A[:, :h, :h], A[:, h:, h:]])), 2)
    return _lower(early, -_product(_product(late, A[:, h:, :h]), early), late)


def _lower(early: Array, corner: Array, late: Array) -> Array:
    """A lower triangle of its blocks."""
    top = jnp.concatenate([early, jnp.zeros_like(early)], -1)
    return jnp.concatenate([top, jnp.concatenate([corner, late], -1)], -2)


def _product(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, precision=lax.Precision.HIGHEST)


def _transposed(x: Array) -> Array:
    return jnp.swapaxes(x, -1, -2)
