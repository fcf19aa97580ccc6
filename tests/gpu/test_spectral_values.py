"""Values of spectral_scan on the GPU: the tests that hold for the kernels wherever they run, and the default."""

from __future__ import annotations

import numpy as np
import pytest

from tests.gpu.device import each_spectral
from tests.gpu_offline.spectral import cases as fitting

# Collected here as tests of the GPU.
from tests.gpu_offline.spectral.test_values import (  # noqa: F401
    test_a_reset_ends_a_nan,
    test_any_shape,
    test_chunks_of_time,
    test_dtypes,
    test_every_frame,
    test_last_only,
    test_long_memories_keep_single_precision,
    test_non_finite_values_stay_in_their_channel_and_move_forward_only,
    test_powers_beyond_single_precision,
    test_values,
)
from tests.spectral_scan import cases
from tests.spectral_scan.cases import Case, compiled, directions, make_operands
from tests.spectral_scan.test_values import check_values

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("case", fitting.SOME, ids=str)
def test_default(case, rng):
    check_values(case, "float32", rng, implementation=None)


@pytest.mark.parametrize("case", cases.FEW, ids=str)
def test_default_where_there_is_no_kernel(case, rng):
    """XLA's transforms around linear_scan."""
    check_values(case, "float64", rng, implementation=None)
    check_values(case, "bfloat16", rng, implementation=None, reverse=True, last_only=True)


@each_spectral
@directions
def test_a_sequence_cut_anywhere_carries_on(implementation, reverse, rng):
    """The final state is the whole of the memory, and is not rounded to the dtype of x."""
    operands = make_operands(Case((2,), 17, (8, 16, 5), h0=(2,), reset=()), "bfloat16", rng)
    options = dict(reverse=reverse, implementation=implementation)
    whole, last = compiled(operands, **options)

    def part(span, h0):
        return compiled(
            {**operands, "x": operands["x"][:, span], "reset": operands["reset"][span], "h0": h0}, **options
        )

    for cut in (1, 8, 12):
        early, late = slice(None, cut), slice(cut, None)
        y1, carry = part(late if reverse else early, operands["h0"])
        y2, final = part(early if reverse else late, carry)
        joined = np.concatenate([y2, y1] if reverse else [y1, y2], 1)
        np.testing.assert_allclose(joined.astype(float), np.asarray(whole).astype(float), 1e-2, 1e-2)
        np.testing.assert_allclose(final, last, 1e-5, 1e-5)
