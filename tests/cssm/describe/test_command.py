"""`cssm describe` as it is called."""

from __future__ import annotations

import re
import sys

import pytest
from cssm.cli import main

SMALL = ["--shape", "1", "2", "4", "4", "2"]


def test_prints_parameters_and_stages(capsys):
    assert (
        main(["describe", "no_gate", *SMALL, "--set", "kernel_size=3", "--set", "residual=True", "--dtype", "bfloat16"])
        == 0
    )
    text = capsys.readouterr().out
    assert text.startswith("no_gate (NoGateCSSM), x (1, 2, 4, 4, 2) bfloat16\n")
    assert re.search(r"^kernel +\(2, 3, 3\) +float32 +18$", text, re.M)
    assert re.search(r"^total +96 bytes +24$", text, re.M)
    assert re.search(r"^out_proj/spectral_scan +1,664 +\d", text, re.M)  # 16 bits: not the two as one operation
    assert re.search(r"^out_proj/dense +320 +\d", text, re.M)  # o, and not o - x
    assert "not counted" not in text


def test_models_have_more_than_parameters(capsys):
    fields = ["--set", "cssm_type=gated", "--set", "norm_type=batch"]
    assert main(["describe", "--model", "simple", "--shape", "1", "2", "8", "8", "3", *fields]) == 0
    text = capsys.readouterr().out
    assert "\nbatch_stats " in text
    assert re.search(r"^cssm_0/recurrence/coupled_scan +\d", text, re.M)


BAD = {
    "no key": ([], "one of the arguments KEY --model is required"),
    "unknown key": (["no_gates"], "KEY: got 'no_gates', expected one of no_gate, gated, hgru_bi"),
    "unknown model": (["--model", "resnet"], "--model: invalid choice: 'resnet'"),
    "size": (["gated", "--shape", "1", "0", "4", "4", "2"], "--shape: got '0', expected a positive integer"),
    "no value": (["gated", "--set", "kernel_size"], "--set: got 'kernel_size', expected field=value"),
    "unknown field": (["no_gate", "--set", "size=3"], "--set: got 'size', expected a field of NoGateCSSM: block_size"),
    "kind": (["no_gate", "--set", "kernel_size=big"], "--set: got kernel_size='big', expected int, as its default, 11"),
    "range": (["no_gate", "--set", "spectral_rho=2"], "spectral_rho: got 2, expected a number in (0, 1]"),
    "elsewhere": (["no_gate", "--set", "channels=3"], "--set: got channels=3, expected it as --shape"),
    "dtype": (["no_gate", "--dtype", "int8"], "--dtype: invalid choice: 'int8'"),
    "no directory": (
        ["no_gate", "--png", "/no/where.png"],
        "--png: got '/no/where.png', expected a path in a directory",
    ),
    "model's picture": (
        ["--model", "simple", "--png", "a.png"],
        "--png: got a model, simple, expected the KEY of a layer",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, capsys):
    arguments, message = BAD[case]
    with pytest.raises(SystemExit) as stopped:
        sys.exit(main(["describe", *arguments]))
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_without_matplotlib_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["describe", "no_gate", "--png", "a.png"]) == 2
    assert "pip install 'cssm-kernels[bench]'" in capsys.readouterr().err
