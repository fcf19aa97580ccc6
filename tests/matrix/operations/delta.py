"""delta_scan in the shared matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import cssm_kernels
from cssm_kernels.delta_scan import rules
from tests.matrix.cases import Arrays, Case, random_array, random_gate, random_state
from tests.matrix.operations.operation import Operation, as_gradients, lanes, order, state_of, time_first

_NAMES = ("a", "beta", "k", "v", "q")
_COMPONENTS = {"k": 1, "v": 1, "q": 1, "h0": 2}


def _call(operands: Arrays, **options: Any) -> tuple[Any, Any]:
    return cssm_kernels.delta_scan(
        *(operands[name] for name in _NAMES),
        operands.get("h0"),
        reset=operands.get("reset"),
        return_final=True,
        **options,
    )


def _make(case: Case, dtype: Any, rng: np.random.Generator) -> Arrays:
    """Keys of length 1 and rates of modulus and distance to 1 below 1: transitions that stretch nothing, but by a."""
    d_k, d_v = case.sizes or (3, 2)
    of = lambda name: case.lanes_of(name, case.gate)
    a = random_gate(rng, of("a"), case.dtype_of("a", dtype), case.magnitude)
    own = case.dtype_of("beta", dtype)
    turn = rng.uniform(-0.4, 0.4, of("beta")) * ("complex" in str(own))
    beta = (rng.uniform(0.1, 0.9, of("beta")) * np.exp(1j * turn)).astype("complex128")
    beta = (beta if "complex" in str(own) else beta.real).astype(random_array(rng, (), own).dtype)
    k = random_array(rng, (*of("k"), d_k), "complex128" if "complex" in str(dtype) else "float64")
    k = (k / np.linalg.norm(k, axis=-1, keepdims=True)).astype(random_array(rng, (), dtype).dtype)
    v = random_array(rng, (*case.lanes_of("v", case.shape), d_v), dtype)
    q = random_array(rng, (*of("q"), d_k), dtype)
    return dict(a=a, beta=beta, k=k, v=v, q=q) | random_state(case, dtype, rng, (d_v, d_k))


def _time_first(operands: Arrays, axis: int) -> Any:
    """a and beta with two dimensions of components as well."""
    shape = lanes(operands, _COMPONENTS)
    a, beta, k, v, q = (time_first(operands[name], shape, axis, _COMPONENTS.get(name, 0)) for name in _NAMES)
    state = state_of(operands, shape, axis, v.dtype, v.shape[-1:] + k.shape[-1:])
    return a[..., None, None], beta[..., None, None], k, v, q, *state


def _times(S: np.ndarray, k: np.ndarray) -> np.ndarray:
    return (S * k[..., None, :]).sum(-1)


def _outer(v: np.ndarray, k: np.ndarray) -> np.ndarray:
    return v[..., :, None] * k[..., None, :]


def _written(k: np.ndarray, write_key: str) -> np.ndarray:
    return k.conj() if write_key == "conj" else k


def _states(operands: Arrays, axis: int, reverse: bool, write_key: str) -> tuple[np.ndarray, np.ndarray]:
    """(S_{t-1} after reset, S_t), time leading."""
    a, beta, k, v, _, S, reset = _time_first(operands, axis)
    before = np.empty((len(k), *S.shape), v.dtype)
    after = np.empty_like(before)
    for t in order(len(k), reverse):
        before[t] = np.where(reset[t], 0, S)
        kept = before[t] - beta[t] * _outer(_times(before[t], k[t].conj()), k[t])
        after[t] = S = a[t] * kept + beta[t] * _outer(v[t], _written(k[t], write_key))
    return before, after


def _truth(
    operands: Arrays, *, axis: int = 0, reverse: bool = False, write_key: str = "conj"
) -> tuple[np.ndarray, np.ndarray]:
    *_, q, S0, _ = _time_first(operands, axis)
    _, S = _states(operands, axis, reverse, write_key)
    return np.moveaxis(_times(S, q), 0, axis), S[0 if reverse else -1] if len(S) else S0


def _error_bound(
    operands: Arrays, eps: float, *, axis: int = 0, reverse: bool = False, write_key: str = "conj"
) -> tuple[np.ndarray, np.ndarray]:
    """|S| goes through the same products of moduli, each of a few roundings, as does the error before it."""
    a, beta, k, v, q, S0, reset = map(np.abs, _time_first(operands, axis))
    before, S = (np.abs(S) for S in _states(operands, axis, reverse, write_key))
    d_k = k.shape[-1]
    error, errors = np.zeros(S0.shape), np.empty(S.shape)
    for t in order(len(k), reverse):
        carried = np.where(reset[t], 0, error) + (d_k + 8) * eps * before[t]
        carried = carried + beta[t] * _outer(_times(carried, k[t]), k[t])
        errors[t] = error = a[t] * carried + (d_k + 8) * eps * beta[t] * _outer(v[t], k[t])
    return np.moveaxis(_times(errors + (d_k + 3) * eps * S, q), 0, axis), error


def _gradients(
    operands: Arrays,
    ct: np.ndarray,
    ct_final: np.ndarray,
    *,
    axis: int = 0,
    reverse: bool = False,
    write_key: str = "conj",
) -> Arrays:
    """With G_t the cotangent of S_t, p = S_{t-1} conj(k) and S_t = a (S_{t-1} - beta p k^T) + beta v w^T.

    JAX's cotangents do not conjugate, but where the operation does: that of k is the conjugate of conj(k)'s.
    """
    a, beta, k, v, q, _, reset = _time_first(operands, axis)
    before, S = _states(operands, axis, reverse, write_key)
    ct, carry = np.moveaxis(ct, axis, 0), np.array(ct_final)
    transposed = lambda G: np.swapaxes(G, -1, -2)
    d = {name: [np.empty(0)] * len(k) for name in _NAMES}
    for t in order(len(k), not reverse):
        G = _outer(ct[t], q[t]) + carry
        d["q"][t] = _times(transposed(S[t]), ct[t])
        p, w = _times(before[t], k[t].conj()), _written(k[t], write_key)
        erased, added = _outer(p, k[t]), _outer(v[t], w)
        d["a"][t] = (G * (before[t] - beta[t] * erased)).sum((-2, -1))
        d["beta"][t] = (G * (added - a[t] * erased)).sum((-2, -1))
        d["v"][t] = beta[t][..., 0] * _times(G, w)
        dp = -(a * beta)[t][..., 0] * _times(G, k[t])
        dk = -(a * beta)[t][..., 0] * _times(transposed(G), p)
        dk_conj = _times(transposed(before[t]), dp)
        dw = beta[t][..., 0] * _times(transposed(G), v[t])
        d["k"][t] = dk + (dk_conj + dw).conj() if write_key == "conj" else dk + dk_conj.conj() + dw
        carry = np.where(reset[t], 0, a[t] * G + _outer(dp, k[t].conj()))
    return as_gradients(operands, {name: np.moveaxis(np.stack(v), 0, axis) for name, v in d.items()} | {"h0": carry})


_PLAIN = (("write_key", "plain"),)
_CASES = [
    *(Case((7, 40), 0, (7, 40), sizes=sizes) for sizes in ((1, 1), (2, 2), (4, 4), (3, 5))),
    *(Case((7, 21), 0, (7, 21), sizes=sizes, options=_PLAIN) for sizes in ((1, 2), (2, 3), (4, 1))),
    Case((5, 9), 0, (5, 9), sizes=(8, 8)),
    Case((4, 5), 0, (4, 5), sizes=(16, 3)),
    Case((4, 5), 0, (1, 5), sizes=(5, 17), options=_PLAIN),
    Case((7, 40), 0, (1, 40)),
    Case((7, 40), 0, (), h0=False),
    Case((3, 1100), 0, (1, 1), sizes=(2, 2)),
    Case((5, 130), 1, (130,), sizes=(2, 2)),
    Case((5, 67), -1, (5, 1), options=_PLAIN),
    Case((131,), 0, (131,)),
    # (batch, time, heads, frequencies): gates by head or by frequency, keys of all
    Case((2, 6, 3, 20), 1, (2, 6, 3, 20), lanes=(("a", (2, 6, 3, 1)), ("beta", (2, 6, 1, 20))), sizes=(4, 4)),
    Case((2, 6, 3, 20), 1, (2, 6, 3, 20), lanes=(("a", (3, 20)), ("beta", (2, 6, 1, 1))), real=("a", "beta")),
    Case((3, 9, 17), 1, (3, 1, 17), lanes=(("v", (9, 1)), ("q", (17,))), h0=False),
    Case((3, 9, 17), 1, (9, 1), lanes=(("k", (3, 1, 17)),), options=_PLAIN),
    # real gates of complex vectors
    Case((7, 40), 0, (7, 40), real=("a",)),
    Case((7, 40), 0, (7, 1), real=("a", "beta"), reset="step"),
    # steps at the edges
    *(Case((steps, 24), 0, (steps, 24), sizes=(2, 2)) for steps in (1, 2, 64, 127)),
    Case((0, 4), 0, (1, 4)),
    Case((5, 0), 0, (5, 1)),
    # resets and magnitudes
    Case((30, 40), 0, (30, 40), reset="step"),
    Case((30, 40), 0, (40,), reset="element", options=_PLAIN),
    Case((4, 70, 9), 1, (70, 9), reset="sequence", sizes=(2, 2)),
    *(Case((200, 20), 0, (200, 20), magnitude=m, sizes=(2, 2)) for m in ("zero", "near one", "one", "above one")),
]


def _draw_options(draw: Any, rank: int, axis: int) -> dict[str, Any]:
    return dict(
        sizes=(draw(st.sampled_from([1, 2, 3, 4])), draw(st.sampled_from([1, 2, 4, 5]))),
        options=draw(st.sampled_from([(), _PLAIN])),
        real=draw(st.sampled_from([(), ("a",), ("a", "beta")])),
    )


DELTA_SCAN = Operation(
    name="delta_scan",
    call=_call,
    truth=_truth,
    error_bound=_error_bound,
    gradients=_gradients,
    make=_make,
    main="v",
    gates=("a", "beta", "k", "q"),
    components=_COMPONENTS,
    rules=rules,
    cases=_CASES,
    gradient_cases=[case for case in _CASES if 0 not in case.shape][::2],
    small=[
        Case((4, 3), 0, (4, 3), sizes=(2, 2)),
        Case((2, 4, 3), 1, (2, 1, 3), sizes=(2, 1), options=_PLAIN),
        Case((5, 3), 0, (), reset="step", sizes=(2, 2), real=("a", "beta")),
    ],
    draw_options=_draw_options,
    implementations=(None, "cpu", "xla", "sequential"),
    native=(None, "cpu"),
    custom_call="cssm_lane_scan",
)
