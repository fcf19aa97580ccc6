"""SplitComplex itself, and what the operations refuse of it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cssm_kernels as ck
from cssm_kernels import SplitComplex

HALF, FLOAT = jnp.ones((5, 2), jnp.bfloat16), jnp.ones((5, 2), jnp.float32)
PAIR, OTHER = SplitComplex(HALF, HALF), SplitComplex(FLOAT, FLOAT)
COMPLEX = FLOAT.astype(jnp.complex64)
SHORT = jax.tree.map(lambda plane: plane[1:], PAIR)
HALVED = jax.tree.unflatten(jax.tree.structure(PAIR), (HALF, None))


def test_parts_are_rounded_once_and_come_back():
    z = jnp.asarray([1 + 2.0**-9 - 3j, 2.0**-9 + 1e30j], jnp.complex64)
    pair = SplitComplex.from_complex(z)
    assert (pair.shape, pair.ndim, pair.dtype) == ((2,), 1, jnp.bfloat16)
    assert pair.to_complex().dtype == jnp.complex64
    np.testing.assert_array_equal(pair.re, jnp.asarray([1, 2.0**-9], jnp.bfloat16))
    np.testing.assert_array_equal(pair.im, jnp.asarray([-3, 1e30], jnp.bfloat16))
    np.testing.assert_array_equal(SplitComplex.from_complex(z, jnp.float32).to_complex(), z)


def test_a_pytree_of_anything():
    assert jax.tree.structure(PAIR) == jax.tree.structure(jax.tree.map(lambda _: "label", PAIR))
    assert jax.eval_shape(lambda pair: pair, PAIR).shape == (5, 2)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path({"x": PAIR})]
    assert paths == ["['x'].re", "['x'].im"]


@pytest.mark.parametrize(
    ("error", "message", "re", "im"),
    [
        (TypeError, "re is a float; expected an array of one of bfloat16", 1.0, HALF),
        (TypeError, "im has dtype complex64; expected one of bfloat16, float16, float32", FLOAT, COMPLEX),
        (TypeError, "im has dtype float32; expected bfloat16, the dtype of re", HALF, FLOAT),
        (ValueError, r"im has shape \(2,\); expected \(5, 2\), the shape of re", HALF, HALF[0]),
    ],
)
def test_planes_are_alike(error, message, re, im):
    with pytest.raises(error, match=message):
        SplitComplex(re, im)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (
            TypeError,
            "a has dtype complex64; expected a SplitComplex of bfloat16, as x",
            lambda: ck.linear_scan(COMPLEX, PAIR),
        ),
        (TypeError, "a has dtype complex128; expected a SplitComplex", lambda: ck.linear_scan(0.5j, PAIR)),
        (TypeError, r"a has dtype float32; expected bfloat16 \(x's dtype\)", lambda: ck.linear_scan(OTHER, PAIR)),
        (TypeError, r"a has dtype float32; expected bfloat16 \(x's dtype\)", lambda: ck.linear_scan(FLOAT, PAIR)),
        (TypeError, "a is a SplitComplex; expected an array", lambda: ck.linear_scan(PAIR, COMPLEX)),
        (TypeError, "b is a SplitComplex; expected an array", lambda: ck.gated_scan(COMPLEX, PAIR, COMPLEX)),
        (TypeError, "A is a SplitComplex; expected an array", lambda: ck.matrix_scan(PAIR, COMPLEX)),
        (TypeError, "k has dtype complex64; expected a SplitComplex", lambda: ck.delta_scan(1, 1, COMPLEX, PAIR, PAIR)),
        (TypeError, "x is a SplitComplex; expected an array", lambda: ck.spectral_scan(PAIR, COMPLEX)),
        (TypeError, "x is a SplitComplex; expected an array", lambda: ck.rfft2_cl(PAIR)),
        (TypeError, "log_x is a SplitComplex; expected an array", lambda: ck.goom_scan(COMPLEX, PAIR)),
        (TypeError, "log_a is a SplitComplex; expected an array", lambda: ck.goom_matrix_scan(PAIR, COMPLEX)),
        (TypeError, "x is a SplitComplex", lambda: ck.time_sharded_linear_scan(PAIR, PAIR, axis_name="t")),
        (TypeError, "h0 has dtype complex128; expected complex64", lambda: ck.linear_scan(PAIR, PAIR, np.ones(2) * 1j)),
        (ValueError, r"a has shape \(4, 2\), which does not broadcast", lambda: ck.linear_scan(SHORT, PAIR)),
        (TypeError, "x.im is a NoneType; expected an array", lambda: ck.linear_scan(PAIR, HALVED)),
    ],
)
def test_refuses(error, message, call):
    with pytest.raises(error, match=message):
        call()
