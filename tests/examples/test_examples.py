"""The examples run."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "arguments", "printed"),
    [
        ("swap_attention", ["--steps", "1"], ["spatiotemporal_attn: loss", "no_gate: loss", "gated: loss"]),
        ("nnx_bridge", [], ["gradient of the spatial kernel (16, 15, 15)"]),
    ],
)
def test_example(name, arguments, printed, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    output = capsys.readouterr().out
    for text in printed:
        assert text in output
    assert "nan" not in output
