"""The modes of the speed suite compute the recurrence, and one that does not gets no time."""

from __future__ import annotations

import csv
import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import pytest

from benchmarks.speed import __main__ as suite
from benchmarks.speed import arithmetic, families, fits
from benchmarks.speed.families import BFLOAT16, FLOAT32, SCALAR, Family
from benchmarks.speed.measure import Configuration, Row, program_of
from benchmarks.speed.truth import Truth

KEPT = {
    "logarithms": (arithmetic.LOGARITHMS, families.normal, FLOAT32),
    "real logarithms": (arithmetic.REAL_LOGARITHMS, families.positive, FLOAT32),
    "bf16 phases": (arithmetic.phases(jnp.bfloat16), families.normal, BFLOAT16),
    "fp32 signs": (arithmetic.signs(jnp.float32), families.signed, FLOAT32),
    "vectors": (arithmetic.linear(jnp.float32), families.signed, FLOAT32),
}


@pytest.mark.parametrize("name", KEPT)
def test_arithmetic(name):
    kept, make, tolerance = KEPT[name]
    family = Family(
        "one", name == "vectors", families.signed if make is families.signed else families.positive, make, ()
    )
    a, x = family.numbers(Configuration(4, 3, 4).shape(2))
    mode = families.parallel(name, kept, family.vectors)
    truth, operands = Truth(a, x, family.vectors, False), (kept.stored(a), kept.stored(x))
    for measure, error in (("fwd", truth.error), ("fwd_bwd", truth.gradient_error)):
        program = jax.jit(program_of(mode, measure), compiler_options={"xla_backend_optimization_level": 0})
        assert error(kept, program(*operands)) <= tolerance


def only(monkeypatch, *modes):
    """The suite has no other modes than these of numbers."""
    monkeypatch.setattr(families, "MATRIX", dataclasses.replace(SCALAR, modes=modes))
    monkeypatch.setattr(families, "PHASE_SPLIT", ())
    monkeypatch.setattr(families, "EXTRAS", {})


def written(folder):
    with open(folder / "speed.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_smoke(tmp_path, monkeypatch, capsys):
    ours, linear, *_, nonlinear = SCALAR.modes
    wrong = dataclasses.replace(linear, name="wrong", scan=lambda a, x: (1.01 * linear.scan(a, x)[0],))
    only(monkeypatch, ours, nonlinear, wrong)
    assert suite.main(["--smoke", "--output_dir", str(tmp_path)]) == 1
    rows = written(tmp_path)
    assert [row["status"] for row in rows] == 3 * [*["ok"] * 4, *["mismatch"] * 2]
    assert all(float(row["min_ms"]) > 0 for row in rows if row["mode"] != "wrong")
    assert {row["median_ms"] for row in rows if row["mode"] == "wrong"} == {"nan"}
    assert len(json.loads((tmp_path / "speed.json").read_text())["fits"]) == 4
    assert (tmp_path / "sweep_T_scalar_C2_H4.png").stat().st_size > 1000
    assert "mismatch" in capsys.readouterr().out


def test_a_program_over_the_memory_budget_is_skipped_and_so_are_longer_ones(tmp_path, monkeypatch):
    only(monkeypatch, SCALAR.modes[0])
    assert suite.main(["--smoke", "--no_backward", "--memory", "1e-7", "--output_dir", str(tmp_path)]) == 0
    first, second, _ = (row["note"] for row in written(tmp_path))
    assert "need 7.68e-07 GB, over the memory budget" in first
    assert second.startswith("after T=1: the operands of all modes need")


@pytest.mark.parametrize("curve, nearer", [(lambda t: 3 + 2 * t, "T"), (lambda t: 3 + 2 * math.log2(t), "log T")])
def test_the_right_curve_is_nearer(curve, nearer):
    rows = [Row("f", "m", "fwd", t, 1, 1, 1, 8, median_ms=curve(t)) for t in (8, 16, 32, 64)]
    (fit,) = fits.fits(rows)
    assert fit.better == nearer
    assert fit.at(128) == pytest.approx(curve(128))
