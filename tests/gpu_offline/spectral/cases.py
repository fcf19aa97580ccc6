"""The cases of spectral_scan, with frames that the kernels take, and the ways of dividing the work."""

from __future__ import annotations

import dataclasses

import pytest

from cssm_kernels.spectral_scan import cuda
from tests.spectral_scan import cases
from tests.spectral_scan.cases import Case

CHECKED = {"implementation": "cuda"}


def fitting(case: Case) -> Case:
    """The case with its frame's sides rounded up to powers of two."""
    height, width, channels = case.frame
    sides = (1 << (n - 1).bit_length() for n in (height, width))
    height, width = (min(side, 64) for side in sides)
    return dataclasses.replace(case, frame=(height, width, channels))


def _distinct(of: list[Case]) -> list[Case]:
    return list(dict.fromkeys(map(fitting, of)))


ALL = _distinct(cases.ALL)
SOME = _distinct(cases.SOME)
# float64 has kernels for sides up to 32.
SMALL = [case for case in SOME if max(case.frame[:2]) <= 32]
SIDES = [1, 2, 4, 8, 16, 32, 64]


def force_chunks(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Cut time into chunks of so many steps, a multiple of the spacing of checkpoints; 0 for none."""
    monkeypatch.setattr(cuda, "chunk_steps", lambda batch, all_steps, *_: min(steps or all_steps, all_steps))
