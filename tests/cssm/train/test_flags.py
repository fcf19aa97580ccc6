"""The published command line."""

import numpy as np
import pytest
from cssm.cli import main
from cssm.train import flags
from cssm.train.models import model_of, started


def settle(*arguments):
    return flags.settle(flags.parser().parse_args(arguments))


def test_sizes_depend_on_the_architecture():
    assert (settle().embed_dim, settle().depth) == (32, 1)
    assert (settle("--arch", "vit").embed_dim, settle("--arch", "vit").depth) == (384, 12)
    assert settle("--embed_dim", "64").embed_dim == 64


def test_run_names_are_the_published_ones():
    assert (
        settle("--cssm", "gated", "--dataset", "pathfinder", "--pathfinder_difficulty", "14").run_name
        == "pf14_simple_gated_d1_e32"
    )
    assert settle("--arch", "baseline", "--no_temporal_attn").run_name == "baseline_d12_e384_h6_notime"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--lr", "0"], "--lr: got 0.0, expected a positive number"),
        (["--batch_size", "0"], "--batch_size: got 0, expected a positive integer"),
        (["--label_smoothing", "1"], r"--label_smoothing: got 1.0, expected a number in \[0, 1\)"),
        (["--curriculum", "5:1"], "--curriculum: got '5:1', expected steps that rise from 0"),
        (["--curriculum", "often"], "--curriculum: got 'often', expected STEP:DISTRACTORS"),
        (["--variable_seq_len", "--seq_len_min", "9"], "--seq_len_min: got 9, expected 1 to --seq_len, 8"),
        (["--gate_bias", "alpha"], "--gate_bias: got 'alpha', expected MODULE:VALUE"),
        (["--variable_timesteps", "6,0"], "--variable_timesteps: got '6,0', expected numbers of frames"),
        (["--best_metric", "f1"], "--best_metric: got 'f1', expected loss or acc"),
    ],
)
def test_bad_flags_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        settle(*arguments)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--dataset", "mnist"], "--dataset: got 'mnist', expected one of"),
        (["--dataset", "pathfinder"], "root: got None, expected a directory"),
        (["--dataset", "pathtracker_mini", "--cssm", "lstm"], "lstm"),
        (
            ["--dataset", "pathtracker_mini", "--batch_size", "6"],
            "--batch_size: got 6, expected a multiple of the 4 devices",
        ),
    ],
)
def test_bad_input_ends_with_2(arguments, message, capsys):
    assert main(["train", "--no_jit_cache", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_flags_reach_the_model():
    model = model_of(settle("--cssm", "gdn", "--delta_key_dim", "4", "--no_goom", "--stem_mode", "pathtracker"), 3)
    assert (model.cssm_type, model.delta_key_dim, model.use_goom) == ("gdn", 4, False)
    assert (model.stem_mode, model.num_classes) == ("pathtracker", 3)
    vit = model_of(settle("--arch", "vit", "--mixing", "dense", "--no_concat_xy"), 10)
    assert (vit.dense_mixing, vit.concat_xy, vit.embed_dim) == (True, False, 384)
    assert not model_of(settle("--arch", "baseline", "--no_temporal_attn"), 10).use_temporal_attn


def test_parameters_start_as_asked():
    kernel = np.random.default_rng(0).standard_normal((2, 3, 3)).astype("float32")
    params = {"mixer": {"kernel": kernel, "alpha": {"kernel": np.ones((2, 2)), "bias": np.zeros(2)}}}
    changed = started(params, 0.1, settle("--gate_bias", "alpha:3").biases)["mixer"]
    assert changed["kernel"].std() == pytest.approx(0.1, rel=1e-5)
    np.testing.assert_array_equal(changed["alpha"]["bias"], [3, 3])
    np.testing.assert_array_equal(changed["alpha"]["kernel"], np.ones((2, 2)))
    with pytest.raises(ValueError, match="--gate_bias: got beta, expected names of modules that have a bias"):
        started(params, 0.0, {"alpha": 1, "beta": 2})
