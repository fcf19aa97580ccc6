"""Planted bugs: a changed copy of kernels in place of them, and what shows that a proof caught it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

# Modules of Triton code that kernels are made of, in the order in which they import each other.
_SHARED = tuple(f"cssm_kernels._triton.{name}" for name in ("values", "elementary", "tiles", "lane_kernels"))
_SIGNS = ("over the bound", "NaN where there should be none", "tools/ptxsim")


def plant(monkeypatch: pytest.MonkeyPatch, folder: Path, kernels: ModuleType, code: str, instead: str) -> None:
    """Have the kernels of an operation compiled from a copy that has `instead` wherever the original has `code`."""
    names = [*_SHARED, kernels.__name__]
    sources = {name: Path(importlib.import_module(name).__file__ or "").read_text() for name in names}
    changed = [name for name in names if code in sources[name]]
    assert changed, "the mutant no longer fits the kernels"
    with monkeypatch.context() as imports:
        for name in names[names.index(changed[0]) :]:  # those that come after import it
            path = folder / f"{name}.py"
            path.write_text(sources[name].replace(code, instead))
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            imports.setitem(sys.modules, name, module)
            spec.loader.exec_module(module)
    operation = kernels.__name__.split(".")[1]
    for name in vars(kernels):
        if name.startswith(operation):
            monkeypatch.setattr(kernels, name, getattr(module, name))


def assert_caught(caught: pytest.ExceptionInfo[Exception]) -> None:
    """By a number that is wrong or by the interpreter, not by an error of the mutant's own."""
    text = str(caught.value)
    assert any(sign in text for sign in _SIGNS), text
