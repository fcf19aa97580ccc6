"""Scores by hand."""

import json

import numpy as np
import pytest
from cssm.cli import main
from cssm.train import recipes
from cssm.train.evaluate import draw, report, scores


def test_scores_by_hand():
    # Confidences 0.8, 0.8, 0.6, 0.6; right, wrong, right, wrong.
    p = np.array([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6], [0.4, 0.6]])
    found = scores(np.log(p), np.array([0, 1, 1, 0]))
    assert found.accuracy == 0.5
    np.testing.assert_array_equal(found.confusion, [[1, 1], [1, 1]])
    np.testing.assert_allclose(found.loss, -np.log([0.8, 0.2, 0.6, 0.4]).mean())
    np.testing.assert_allclose(found.calibration_error, 0.5 * 0.3 + 0.5 * 0.1)
    assert found.calibration[:, 2].sum() == 4
    assert "accuracy 0.5000" in report(found)


def test_scores_of_nothing():
    with pytest.raises(ValueError, match="expected"):
        scores(np.zeros((0, 2)), np.zeros(0, int))


@pytest.mark.parametrize("samples", [{"video": np.zeros((3, 2, 4, 4, 3), np.uint8)}, {"image": np.zeros((3, 4, 4, 1))}])
def test_picture(samples, tmp_path):
    found = scores(np.eye(3, 2), np.array([0, 1, 1]))
    draw(found, samples | {"label": np.array([0, 1, 1])}, np.eye(3, 2), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("given", "expected"), [([], (8, 8)), (["--frames", "6"], (6, 6)), (["--frames", "6", "--seq_len", "4"], (6, 4))]
)
def test_all_frames_of_clips_are_given_unless_told_otherwise(given, expected, tmp_path, monkeypatch, capsys):
    (tmp_path / "args.json").write_text(json.dumps({"frames": 8, "seq_len": 8}))

    def settle(args):
        raise ValueError(f"settled {(args.frames, args.seq_len)}")

    monkeypatch.setattr(recipes, "settle", settle)
    assert main(["eval", str(tmp_path), *given]) != 0
    assert f"settled {expected}" in capsys.readouterr().err
