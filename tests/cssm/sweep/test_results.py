"""Tables and pictures of what the logs say."""

from __future__ import annotations

import pytest
from cssm.cli import main
from cssm.sweep.figures import curves
from cssm.sweep.progress import Entry, Status
from cssm.sweep.results import Result, collect
from cssm.sweep.runner import Runner


def test_table_and_pictures_of_finished_runs(sweep, site, capsys):
    runs = {f"no_gate_t{t}": f"cssm: no_gate, embed_dim: 64, seq_len: {t}" for t in (1, 2)}
    runner = Runner(sweep({**runs, "bad": "needs: nothing"}), site)
    runner.prepare()
    runner.run()
    runner.log.append(Entry("lost", Status.DONE, "host", 1))  # its files are gone
    capsys.readouterr()

    assert main(["sweep", "results", str(site.root)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "| run | parameters | best val acc | steps/s |"
    assert printed[2:5] == [
        "| lost |  |  |  |",
        "| no_gate_t1 | 64,000 | 0.7500 | 50 |",
        "| no_gate_t2 | 64,000 | 0.7500 | 50 |",
    ]
    assert (site.root / "results.csv").read_text().splitlines() == [
        "name,parameters,best_val_acc,steps_per_second",
        "lost,,,",
        "no_gate_t1,64000,0.75,50.0",
        "no_gate_t2,64000,0.75,50.0",
    ]
    assert (site.root / "results.md").read_text().splitlines() == printed[:5]
    for picture in ("accuracy_parameters.png", "accuracy_frames.png"):
        assert str(site.root / picture) in printed
        assert (site.root / picture).read_bytes().startswith(b"\x89PNG")
    assert curves(collect(site.root)) == {"no_gate_t1": [(1, 0.75), (2, 0.75)]}


def test_runs_that_differ_in_more_than_frames_are_on_no_curve():
    arguments = [("a", 10, 3), ("a", 2, 3), ("b", 3, 3), ("a", 5, 7)]
    results = [
        Result(f"{cssm}{t}{k}", {"cssm": cssm, "seq_len": t, "kernel_size": k}, None, t / 10, None)
        for cssm, t, k in arguments
    ]
    assert curves(results) == {"a23": [(2, 0.2), (10, 1.0)]}


def test_cut_records_are_passed_over(site):
    from cssm.sweep.metrics import Metrics, read

    site.root.mkdir()
    log = site.root / "metrics.jsonl"
    log.write_text('{"step": 1, "val/acc": 0.5}\n{"step": 2, "val/a\n{"step": 2, "val/acc": 0.4}\n')
    assert read(log) == Metrics(None, 0.5, None)
    assert read(site.root / "none") == Metrics()


def test_a_directory_of_no_sweep(site, capsys):
    site.root.mkdir()
    assert main(["sweep", "results", str(site.root)]) == 2
    assert "expected the directory of a sweep, with progress.jsonl" in capsys.readouterr().err
    with pytest.raises(ValueError, match="expected the directory of a sweep"):
        collect(site.root)
