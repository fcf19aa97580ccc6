"""The public function of delta_scan."""

from __future__ import annotations

from typing import Literal, overload

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from cssm_kernels import _planes
from cssm_kernels._dispatch import check_implementation
from cssm_kernels._layout import (
    aligned_reset,
    aligned_state,
    as_gate,
    as_operand,
    broadcast_lanes,
    check_flags,
    checked_input,
    initial_state,
    lane_axis,
    state_dtype,
    state_dtype_of,
    state_shape,
    with_lanes,
)
from cssm_kernels.delta_scan import chunked, reference, rules
from cssm_kernels.split_complex import Gate, SplitComplex, joined

IMPLEMENTATIONS = ("cpu", "triton", "xla", "sequential", "chunked")
WRITE_KEYS = ("conj", "plain")
_PLAIN = {"xla": reference.associative, "sequential": reference.sequential, "chunked": chunked.scan}


@overload
def delta_scan(
    a: Gate,
    beta: Gate,
    k: Gate,
    v: SplitComplex,
    q: Gate,
    h0: Gate | None = None,
    *,
    axis: int = 0,
    write_key: Literal["conj", "plain"] = "conj",
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[False] = False,
    implementation: str | None = None,
) -> SplitComplex: ...


@overload
def delta_scan(
    a: Gate,
    beta: Gate,
    k: Gate,
    v: SplitComplex,
    q: Gate,
    h0: Gate | None = None,
    *,
    axis: int = 0,
    write_key: Literal["conj", "plain"] = "conj",
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[True],
    implementation: str | None = None,
) -> tuple[SplitComplex, Array]: ...


@overload
def delta_scan(
    a: ArrayLike,
    beta: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    q: ArrayLike,
    h0: ArrayLike | None = None,
    *,
    axis: int = 0,
    write_key: Literal["conj", "plain"] = "conj",
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[False] = False,
    implementation: str | None = None,
) -> Array: ...


@overload
def delta_scan(
    a: ArrayLike,
    beta: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    q: ArrayLike,
    h0: ArrayLike | None = None,
    *,
    axis: int = 0,
    write_key: Literal["conj", "plain"] = "conj",
    reverse: bool = False,
    reset: ArrayLike | None = None,
    return_final: Literal[True],
    implementation: str | None = None,
) -> tuple[Array, Array]: ...


def delta_scan(
    a,
    beta,
    k,
    v,
    q,
    h0=None,
    *,
    axis=0,
    write_key="conj",
    reverse=False,
    reset=None,
    return_final=False,
    implementation=None,
):
    r"""Gated delta rule: a memory S of values under keys, of d_v x d_k, that is decayed, corrected and read at each step.

        S_t = a_t S_{t-1} (I - beta_t conj(k_t) k_t^T) + beta_t v_t w_t^T,   o_t = S_t q_t,   t = 1 ... T

    from S_0 = h0 (zero if None), and S_{t-1} = 0 where reset_t. Each row s of S, as a column, goes to
    a_t (I - beta_t k_t k_t^H) s + beta_t v w_t, with the write key w_t = conj(k_t), or k_t if `write_key` is "plain". For
    real keys they are one, and it is the delta rule of Gated DeltaNet. With `reverse` time runs from T to 1.

    The transitions are never formed, but by "xla". It differentiates to any order in both modes, and works under jit, vmap,
    remat, shard_map, sharded jit (along any axis but time) and jax.export.

    Args:
      a, beta: decay and rate, (...): one of each in every lane, where k, v and q have a vector. Of v's dtype or a narrower
        one; where v is complex they may be real, and are then kept so.
      k, q: keys and queries, (..., d_k), of v's dtype or a narrower one. The dimensions before the components (the lanes)
        broadcast, with v's and with a and beta, by NumPy's rules.
      v: values, (..., d_v); float32, float64, complex64, complex128, bfloat16 or float16. The half-precision types are read
        and written as such, with a float32 state. Or a `SplitComplex`, with a complex64 state; the others are then too, or
        real.
      h0: initial S, (..., d_v, d_k); its lanes broadcast to those of the result without `axis`. v's dtype, or float32 for
        the half-precision ones.
      axis: the time axis, counted among the lanes: -1 is the last dimension before the components.
      write_key: "conj" or "plain".
      reverse: run backwards in time.
      reset: bool; shape (T,), or (..., T) one flag a step of each sequence, or of the lanes' rank, broadcast to them.
      return_final: also return the last S, which as `h0` of a further call carries the sequence on.
      implementation: None for the best on the platform, or "cpu" (native), "triton" (CUDA, at most 4 components), "xla"
        (`lax.associative_scan` of transitions, as published), "sequential" (`lax.scan`), "chunked" (products of
        matrices over 64 steps at a time, for few lanes of many components). A named one runs or raises. None is "chunked"
        for real vectors in at most 4 lanes, from 256 steps and d_k d_v = 1024 on, without reset. By chunks a NaN or Inf
        reaches all of its 64 steps, resets notwithstanding.

    Returns:
      o, (..., d_v) on the lanes that all broadcast to, in v's dtype, a SplitComplex where v is one; with `return_final` the
      pair (o, final), final (..., d_v, d_k) without `axis` and of the state's dtype (float32 for the half-precision types).

    Raises:
      TypeError: an argument that is no floating-point array, or whose dtype does not fit in v's.
      ValueError: shapes that do not fit or broadcast, axis out of range, unknown implementation, or one that does not run on
        the platform compiled for.
      ImportError: the native library was not built; jax-triton is asked for and missing, or does not work with this jax.

    Source: Yang, Kautz and Hatamizadeh, "Gated delta networks: improving Mamba2 with delta rule" (2024); with complex keys,
    CSSM model specification 2.5.
    """
    check_implementation(implementation, IMPLEMENTATIONS)
    check_flags(reverse=reverse, return_final=return_final)
    if write_key not in WRITE_KEYS:
        raise ValueError(f"write_key is {write_key!r}; expected 'conj' or 'plain'")
    v = checked_input("v", v)
    a, beta = as_gate("a", a, v, "v"), as_gate("beta", beta, v, "v")
    k, q = as_operand("k", k, v, "v"), as_operand("q", q, v, "v")
    for name, vectors in (("v", v), ("k", k), ("q", q)):
        if vectors.ndim == 0 or vectors.shape[-1] == 0:
            raise ValueError(f"{name} has shape {vectors.shape}; expected (..., d) with at least one component")
    columns, rows = k.shape[-1], v.shape[-1]
    if q.shape[-1] != columns:
        raise ValueError(f"q has shape {q.shape}; expected (..., {columns}), the components of k, {k.shape}")
    shape = broadcast_lanes(v=(v, 1), k=(k, 1), q=(q, 1), a=(a, 0), beta=(beta, 0))
    axis = lane_axis("axis", axis, shape)
    h0 = None if h0 is None else aligned_state(joined(h0), shape, axis, state_dtype_of(v), (rows, columns))
    reset = None if reset is None else aligned_reset(reset, shape, axis)
    a, beta = (with_lanes(gate, len(shape)) for gate in (a, beta))
    k, v, q = (with_lanes(vectors, len(shape), 1) for vectors in (k, v, q))
    params = dict(axis=axis, reverse=reverse, write_key=write_key, implementation=implementation)
    o, final = _planes.run(_compute, rules.of_planes, (a, beta, k, v, q, h0, reset), **params)
    return (o, jnp.squeeze(final, axis)) if return_final else o


def _compute(*operands, axis, implementation, **params):
    """(o, final) of aligned arrays."""
    shape = reference.lanes(*operands)
    if shape[axis] == 0:
        _, _, k, v, _, h0, _ = operands
        o = jnp.zeros((*shape, v.shape[-1]), v.dtype)
        state = (*state_shape(shape, axis), v.shape[-1], k.shape[-1])
        return o, initial_state(h0, state, state_dtype(v.dtype))
    if implementation in _PLAIN:
        return _PLAIN[implementation](*operands, axis=axis, **params)
    return rules.scan(*operands, axis=axis, **params, implementation=implementation)
