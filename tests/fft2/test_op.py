"""What the transforms refuse, before anything runs: the message says which argument, what came and what was expected."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from cssm_kernels import irfft2_cl, rfft2_cl

X = np.ones((6, 5, 2), np.float32)
X_HAT = np.ones((6, 3, 2), np.complex64)

REFUSED = [
    (TypeError, r"x has dtype int32; expected one of float32", lambda x: rfft2_cl(x), X.astype(np.int32)),
    (TypeError, r"x has dtype bool; expected one of float32", lambda x: rfft2_cl(x), X > 0),
    (TypeError, r"x has dtype complex64; expected one of float32", lambda x: rfft2_cl(x), X_HAT),
    (TypeError, r"x is a str; expected an array", lambda x: rfft2_cl("frames"), X),
    (ValueError, r"x has shape \(6, 5\); expected \(..., H, W, C\)", lambda x: rfft2_cl(x), X[..., 0]),
    (ValueError, r"x has shape \(0, 5, 2\); expected .* H and W at least 1", lambda x: rfft2_cl(x), X[:0]),
    (ValueError, r"x has shape \(6, 0, 2\); expected .* H and W at least 1", lambda x: rfft2_cl(x), X[:, :0]),
    (ValueError, r"implementation is 'cuda'; expected None .* 'cpu'", lambda x: rfft2_cl(x, implementation="cuda"), X),
    (ValueError, r"implementation is 3; expected None", lambda x: rfft2_cl(x, implementation=3), X),
    (TypeError, r"x_hat has dtype float32; expected one of complex64", lambda s: irfft2_cl(s, 5), X[:, :3]),
    (TypeError, r"x_hat has dtype int32; expected one of complex64", lambda s: irfft2_cl(s, 5), X.astype(np.int32)),
    (TypeError, r"width is 5.0; expected an int", lambda s: irfft2_cl(s, 5.0), X_HAT),
    (TypeError, r"width is None; expected an int", lambda s: irfft2_cl(s, None), X_HAT),
    (ValueError, r"x_hat has shape \(6, 3, 2\) and width is 3; expected", lambda s: irfft2_cl(s, 3), X_HAT),
    (ValueError, r"x_hat has shape \(6, 3, 2\) and width is 7; expected", lambda s: irfft2_cl(s, 7), X_HAT),
    (ValueError, r"x_hat has shape \(6, 1, 2\) and width is 0; expected", lambda s: irfft2_cl(s, 0), X_HAT[:, :1]),
    (ValueError, r"x_hat has shape \(6, 1, 2\) and width is -1; expected", lambda s: irfft2_cl(s, -1), X_HAT[:, :1]),
    (ValueError, r"x_hat has shape \(0, 3, 2\) and width is 5; expected", lambda s: irfft2_cl(s, 5), X_HAT[:0]),
    (ValueError, r"x_hat has shape \(6, 3\) and width is 5; expected", lambda s: irfft2_cl(s, 5), X_HAT[..., 0]),
    (ValueError, r"implementation is 'fftw'", lambda s: irfft2_cl(s, 5, implementation="fftw"), X_HAT),
]


@pytest.mark.parametrize("error, message, call, operand", REFUSED, ids=[message[:40] for _, message, *_ in REFUSED])
@pytest.mark.parametrize("under_jit", [False, True], ids=["eager", "jit"])
def test_refuses(error, message, call, operand, under_jit):
    with pytest.raises(error, match=message):
        (jax.jit(call) if under_jit else call)(operand)


def test_takes_widths_that_are_integers_of_another_kind():
    np.testing.assert_array_equal(irfft2_cl(X_HAT, np.int64(5)), irfft2_cl(X_HAT, 5))


def test_takes_lists():
    np.testing.assert_allclose(rfft2_cl([[[1.0], [2.0]]])[0, :, 0], [3, -1])
