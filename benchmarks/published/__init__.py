"""Published figures to compare with. They are other people's measurements on other hardware, never mixed with ours."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
SOURCE = "published, NVIDIA B200"
"""How every published figure is labelled."""


class PublishedCell(NamedTuple):
    """Medians in ms of one published cell."""

    fwd_ms: float
    fwd_bwd_ms: float


def panel_t() -> dict[tuple[str, int], PublishedCell]:
    """Published panel T (H=W=C=32, K=11, batch 1, fp32), by layer key and T."""
    return {
        (row["cssm_type"], int(row["T_video"])): PublishedCell(float(row["fwd_ms"]), float(row["fwd_bwd_ms"]))
        for row in _rows("panel_t.csv")
    }


def panel_t_ratios() -> dict[tuple[str, int, str], float]:
    """Published slow-downs relative to sCSSM, by layer key, T and measure ('fwd' or 'fwd_bwd').

    The ratios that were published as such; for the other cells the quotient of the published medians.
    """
    cells = panel_t()
    ratios = {
        (key, steps, measure): getattr(cell, f"{measure}_ms") / getattr(cells["no_gate", steps], f"{measure}_ms")
        for (key, steps), cell in cells.items()
        for measure in ("fwd", "fwd_bwd")
    }
    for row in _rows("panel_t_ratios.csv"):
        ratios[row["cssm_type"], int(row["T_video"]), row["measure"]] = float(row["ratio"])
    return ratios


def _rows(name: str) -> list[dict[str, str]]:
    with open(HERE / name, newline="") as file:
        return list(csv.DictReader(file))
