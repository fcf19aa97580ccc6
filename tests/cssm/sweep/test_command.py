"""`cssm sweep` as it is called."""

from __future__ import annotations

import pytest
from cssm.cli import main

from .conftest import starts


def test_dry_run_prints_commands_and_their_number(capsys, tmp_path):
    words = ["sweep", "run", "sweep_nogate_timesteps", "--only", "*_t1?", "--out", str(tmp_path), "--dry-run"]
    settings = ["--set", "batch_size=64", "--set", "early_stopping_patience=0", "--set", "bf16=True"]
    assert main([*words, "--path", "pathfinder=/data/pf14", *settings]) == 0
    *commands, count = capsys.readouterr().out.splitlines()
    assert count == "10 runs"
    assert [command.split()[1:4] for command in commands] == [["-m", "cssm", "train"]] * 10
    assert "--tfrecord_dir /data/pf14 " in commands[0]
    assert commands[0].endswith(
        " --cssm no_gate --seq_len 10 --early_stopping_patience 0 --bf16 --batch_size 64 "
        f"--run_name no_gate_k7_e64_pf14_t10 --checkpoint_dir {tmp_path}/runs"
    )
    assert list(tmp_path.iterdir()) == []


def test_list(capsys):
    assert main(["sweep", "list"]) == 0
    assert "  79  sweep_15dist\n" in capsys.readouterr().out


def test_run_says_what_failed_and_retries_it(sweep, site, tmp_path, capsys):
    sweep({"x": "needs: fixed", "y": ""})
    words = ["sweep", "run", str(tmp_path / "grid.yaml"), "--out", str(site.root)]
    assert main([*words, "--devices", "0"]) == 1
    assert "\n1 done, 1 failed, 0 interrupted, 0 not run\n" in capsys.readouterr().out
    assert main([*words, "--no-retry-failed"]) == 0
    assert "\n0 done, 0 failed, 0 interrupted, 2 not run\n" in "\n" + capsys.readouterr().out
    (site.root / "fixed").touch()
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("again: x\n")
    assert starts(site) == {"x 128 1": 2, "y 128 1": 1}


BAD = {
    "no such sweep": (["nothing"], "got 'nothing', expected a file or one of"),
    "only": (["sweep_15dist", "--only", "xyz"], "--only: got 'xyz', expected a pattern of names such as spatio"),
    "path": (["sweep_15dist", "--path", "girik"], "--path: got 'girik', expected NAME=PATH"),
    "set": (["sweep_15dist", "--set", "run_name=x"], "--set: run_name: the runner gives this flag"),
    "missing path": (["sweep_15dist"], "paths: got {}, expected also girik=PATH"),
    "missing trainer": (["lejepa_imagenet_scratch"], "train_imagenet.py', which is not found; expected a file"),
    "devices": (["sweep_15dist", "--devices", "0,0"], "--devices: got '0,0', expected different devices"),
    "no cluster": (["sweep_15dist", "--path", "girik=/data", "--slurm"], "slurm: "),
}


@pytest.mark.parametrize("words, message", BAD.values(), ids=BAD)
def test_bad_input_exits_with_2_and_says_what_was_expected(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["sweep", "run", *words])
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    assert message in capsys.readouterr().err
