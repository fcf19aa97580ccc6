"""Runs that are killed, stopped, sharded or shared out, against the run that is not."""

from __future__ import annotations

import signal
import socket
import time

import jax
import numpy as np
import pytest
from cssm.train import loop, mesh

from tests.cssm.train.runs import log, losses, settled, start

STEPS = 40


def train(directory, *more, devices=1):
    return loop.Run(settled(directory, *more), jax.devices()[:devices]).train()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The log of a run never stopped."""
    directory = tmp_path_factory.mktemp("whole")
    assert start(directory, "--steps", str(STEPS), "--save_steps", "4").wait(300) == 0
    return log(directory)


def test_killed_runs_go_on_as_if_they_had_not_been(whole, tmp_path):
    """SIGKILL twice, at moments a log of random length decides, once while the first checkpoint is being written."""
    codes = []
    for lines in (4, 15):
        process = start(tmp_path, "--steps", str(STEPS), "--save_steps", "4")
        deadline = time.monotonic() + 200
        while len(log(tmp_path)) <= lines and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
        codes.append(process.wait(60))
    # On a busy machine a run may have ended before it was killed.
    assert -signal.SIGKILL in codes
    assert set(codes) <= {-signal.SIGKILL, 0}
    assert start(tmp_path, "--steps", str(STEPS), "--save_steps", "4").wait(300) == 0
    assert log(tmp_path) == whole


def test_a_run_told_to_stop_saves_and_goes_on(tmp_path, monkeypatch):
    """Twelve steps at once, and with SIGTERM after the fifth: the same log, and nothing is computed twice."""
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert train(straight, "--steps", "12") == 0
    run = loop.Run(settled(stopped, "--steps", "12"), jax.devices()[:1])
    step = run.train_step

    def step_and_stop(state, batch):
        if int(state.step) == 4:
            signal.raise_signal(signal.SIGTERM)
        return step(state, batch)

    run.train_step = step_and_stop
    assert run.train() == loop.INTERRUPTED
    assert losses(stopped) == losses(straight)[:5]
    assert train(stopped, "--steps", "12") == 0
    assert log(stopped) == log(straight)


@pytest.mark.parametrize("how", ["replicated", "fsdp"])
def test_four_devices_train_as_one(how, tmp_path, monkeypatch):
    monkeypatch.setattr(mesh, "LEAST_PARTED", 8)
    for name, devices in (("one", 1), ("four", 4)):
        train(tmp_path / name, "--steps", "8", "--param_sharding", how, "--ema_decay", "0.9", devices=devices)
    np.testing.assert_allclose(losses(tmp_path / "four"), losses(tmp_path / "one"), rtol=1e-5)


def test_two_processes_train_as_one(whole, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    shared = [
        "--steps",
        str(STEPS),
        "--save_steps",
        "4",
        "--coordinator",
        address,
        "--num_processes",
        "2",
        "--process_id",
    ]
    processes = [start(tmp_path, *shared, str(index)) for index in range(2)]
    assert [process.wait(300) for process in processes] == [0, 0]
    np.testing.assert_allclose(losses(tmp_path), [r["train/loss"] for r in whole if "train/loss" in r], rtol=1e-5)
