"""Runs that are killed, stopped, sharded or shared out, against the run that is not."""

from __future__ import annotations

import json
import signal
import socket
import time

import jax
import numpy as np
import pytest
from cssm.train import checkpoints, loop, mesh

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
    """SIGKILL twice: soon after the first checkpoint is begun, and later. `kills.py` does it at any moment, many times."""
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


def test_a_checkpoint_is_of_the_moment_it_was_asked_for(tmp_path, monkeypatch):
    """Orbax writes later, while the run goes on."""
    run = loop.Run(settled(tmp_path, "--steps", "1"), jax.devices()[:1])
    saved = checkpoints.Checkpoints(tmp_path)
    serialise = json.dumps

    def late(*args, **kwargs):
        time.sleep(0.5)
        return serialise(*args, **kwargs)

    monkeypatch.setattr(json, "dumps", late)
    record = {"progress": {"data": 1}}
    saved.save(run.state, record)
    record["progress"]["data"] = 2
    saved.wait()
    kept = saved.restore(run.state)
    saved.close()
    assert kept is not None
    assert kept[1] == {"progress": {"data": 1}}


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
    assert losses(stopped) == losses(straight)
    for got, want in zip(log(stopped), log(straight), strict=True):
        assert got == pytest.approx(want, rel=1e-8)


# A black pixel has no variance over the channels: a norm there multiplies rounding a thousandfold, where the activation is
# not zero at zero, and Adam divides small gradients by themselves. Without either, rounding stays rounding.
SMOOTH = ("--steps", "8", "--act_type", "gelu", "--norm_type", "layer", "--embed_dim", "16", "--optimizer", "sgd")
SMOOTH += ("--lr", "1e-3")


def assert_same_curve(directory, expected):
    """Losses and gradients of every step, to 1e-5."""
    got, want = ([r for r in log(d) if "train/loss" in r] for d in (directory, expected))
    assert len(got) == len(want) == 8
    for name in ("train/loss", "train/grad_norm"):
        np.testing.assert_allclose([r[name] for r in got], [r[name] for r in want], rtol=1e-5)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run on one device."""
    directory = tmp_path_factory.mktemp("alone")
    train(directory, *SMOOTH, "--ema_decay", "0.9")
    return directory


@pytest.mark.parametrize("how", ["replicated", "fsdp"])
def test_four_devices_train_as_one(how, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(mesh, "LEAST_PARTED", 8)
    train(tmp_path, *SMOOTH, "--ema_decay", "0.9", "--param_sharding", how, devices=4)
    assert_same_curve(tmp_path, alone)


def test_two_processes_train_as_one(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    shared = [*SMOOTH, "--coordinator", address, "--num_processes", "2", "--process_id"]
    processes = [start(tmp_path / "two", *shared, str(index)) for index in range(2)]
    assert [process.wait(300) for process in processes] == [0, 0]
    assert start(tmp_path / "one", *SMOOTH).wait(300) == 0
    assert_same_curve(tmp_path / "two", tmp_path / "one")
