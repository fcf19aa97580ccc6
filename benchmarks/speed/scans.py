"""The recurrence over axis 1 in any arithmetic: of numbers, or of k-vectors under k x k matrices (`vectors`)."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.speed.arithmetic import Arithmetic, Parts


def associative(arithmetic: Arithmetic, vectors: bool, a: Parts, x: Parts) -> Parts:
    """`lax.associative_scan` of the maps h -> a h + x."""
    matrix_product, matrix_vector = _products(arithmetic, vectors)

    def compose(earlier, later):
        (a_i, x_i), (a_j, x_j) = earlier, later
        return matrix_product(a_j, a_i), arithmetic.add(matrix_vector(a_j, x_i), x_j)

    return lax.associative_scan(compose, (a, x), axis=1)[1]


def sequential(arithmetic: Arithmetic, vectors: bool, a: Parts, x: Parts, *, nonlinear: bool = False) -> Parts:
    """`lax.scan` of the same sums; with `nonlinear` each state is squashed, so that no scan could be parallel."""
    _, matrix_vector = _products(arithmetic, vectors)
    after = arithmetic.squash if nonlinear else lambda h: h
    assert after is not None

    def step(h, inputs):
        a_t, x_t = inputs
        h = after(arithmetic.add(matrix_vector(a_t, h), x_t))
        return h, h

    a, x = jax.tree.map(lambda v: jnp.moveaxis(v, 1, 0), (a, x))
    # The published arithmetic has no zero, so the first state is not a step from one.
    first = after(tuple(part[0] for part in x))
    _, later = lax.scan(step, first, jax.tree.map(lambda v: v[1:], (a, x)))
    return jax.tree.map(lambda h_1, h: jnp.moveaxis(jnp.concatenate([h_1[None], h]), 0, 1), first, later)


def _products(arithmetic: Arithmetic, vectors: bool):
    """Of a transition and a transition, and of a transition and a state."""
    if not vectors:
        return arithmetic.product, arithmetic.product

    def product(a, b, a_index, b_index):
        return arithmetic.product(tuple(v[a_index] for v in a), tuple(v[b_index] for v in b))

    def matrix_vector(a, h):
        return _sum(arithmetic, [product(a, h, (..., j), (..., j, None)) for j in range(h[0].shape[-1])])

    def matrix_product(a, b):
        terms = [product(a, b, (..., j, None), (..., j, None, slice(None))) for j in range(a[0].shape[-1])]
        return _sum(arithmetic, terms)

    return matrix_product, matrix_vector


def _sum(arithmetic: Arithmetic, terms: list[Parts]) -> Parts:
    return functools.reduce(arithmetic.add, terms)
