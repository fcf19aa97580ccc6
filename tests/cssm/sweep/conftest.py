"""Sweeps of a trainer that trains nothing."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from cssm.sweep.grid import Sweep, load
from cssm.sweep.progress import Status
from cssm.sweep.runner import Runner, Site

os.environ["SUBMITIT_LOG_LEVEL"] = "NOCONFIG"  # when imported it would keep the stdout of a test for its log
TRAINER = Path(__file__).with_name("trainer.py")


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Sweep]:
    """A grid of runs, given as {name: arguments}, of batch 128."""

    def make(runs: dict[str, str]) -> Sweep:
        blocks = "".join(f"  - {{name: {name}, args: {{{args}}}}}\n" for name, args in runs.items())
        file = tmp_path / "grid.yaml"
        file.write_text(f"command: [python, -I, -S, '{TRAINER}']\ncommon: {{batch_size: 128}}\nblocks:\n{blocks}")
        return load(file)

    return make


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "out", grace=5)


def states(runner: Runner) -> dict[str, Status]:
    return {name: entry.status for name, entry in runner.log.entries().items()}


def starts(site: Site) -> Counter[str]:
    """How often the trainer was started with "name batch accumulation"."""
    return Counter((site.root / "starts").read_text().splitlines())


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
