"""The published figures are the published figures."""

from __future__ import annotations

import pytest

from benchmarks.published import SOURCE, panel_t, panel_t_ratios


@pytest.mark.parametrize(
    ("key", "steps", "fwd", "fwd_bwd"),
    [
        ("no_gate", 8, 0.137, 0.339),
        ("no_gate", 1024, 1.103, 2.803),
        ("direct_conv_assoc", 1024, 6.235, 18.26),
        ("direct_conv_parallel", 64, 0.947, 2.821),
        ("direct_conv_seq", 256, 4.746, 13.03),
        ("no_gate_realspace_seq", 1024, 319.0, 937.9),
        ("no_gate_realspace_par", 1024, 505.2, 1625.4),
    ],
)
def test_cells(key: str, steps: int, fwd: float, fwd_bwd: float):
    assert panel_t()[key, steps] == (fwd, fwd_bwd)


@pytest.mark.parametrize(
    ("key", "steps", "measure", "ratio"),
    [
        ("no_gate_realspace_par", 1024, "fwd", 458.1),
        ("no_gate_realspace_par", 1024, "fwd_bwd", 579.9),
        ("no_gate_realspace_seq", 1024, "fwd", 289.3),
        ("no_gate_realspace_seq", 32, "fwd_bwd", 74.0),
        ("direct_conv_assoc", 8, "fwd", 1.5),
        ("direct_conv_assoc", 8, "fwd_bwd", 2.2),
    ],
)
def test_ratios(key: str, steps: int, measure: str, ratio: float):
    assert panel_t_ratios()[key, steps, measure] == ratio


def test_all_six_series_at_all_eight_lengths():
    assert len(panel_t()) == 6 * 8
    assert "B200" in SOURCE


def test_published_ratios_are_those_of_the_published_times():
    cells = panel_t()
    for (key, steps, measure), ratio in panel_t_ratios().items():
        column = f"{measure}_ms"
        quotient = getattr(cells[key, steps], column) / getattr(cells["no_gate", steps], column)
        assert ratio == pytest.approx(quotient, rel=0.005, abs=0.051), (key, steps, measure)
