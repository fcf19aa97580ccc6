"""The log of a run that was killed and goes on."""

import json

import pytest
from cssm.train.records import LOG, Records, read_records


def test_a_resumed_log_is_that_of_a_run_never_stopped(tmp_path):
    for resumed_at, steps in ((0, range(1, 8)), (5, range(6, 11))):
        log = Records(tmp_path, resumed_at)
        for step in steps:
            log.write(step, {"train/loss": 1 / step})
        log.close()
        with (tmp_path / LOG).open("a") as file:
            file.write('{"step": 99, "tra')  # killed while it wrote
    assert read_records(tmp_path / LOG) == [{"step": step, "train/loss": 1 / step} for step in range(1, 11)]
    assert list((tmp_path / "events").iterdir())


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / LOG
    path.write_text(json.dumps({"step": 1}) + "\nnonsense\n" + json.dumps({"step": 2}) + "\n")
    with pytest.raises(ValueError, match=r"metrics.jsonl:2: expected a JSON object, got 'nonsense'"):
        read_records(path)
