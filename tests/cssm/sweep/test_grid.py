"""The published grids, and grids that are wrong."""

from __future__ import annotations

import argparse

import pytest
from cssm.sweep.grid import GridError, find, load, published
from cssm.train import flags

# Training specification 10.2, the column "Dispatched", and the older grids.
COUNTS = {
    "sweep_15dist": 79,
    "sweep_pathtracker_restyled_32f": 57,
    "sweep_pathfinder": 94,
    "sweep_pathfinder_25": 10,
    "sweep_nogate_timesteps": 20,
    "sweep_nogate_timesteps_25": 3,
    "sweep_s4nd_convs5": 16,
    "sweep_s4nd_full": 8,
    "sweep_s4nd_full_15dist": 4,
    "sweep_imagenet_edge": 6,
    "learned_t_imagenet_30ep": 1,
    "lejepa_imagenet_scratch": 1,
    "add_kqv_pathfinder": 48,
}
# Training specification 11.1 and 12.1: the flags of the ImageNet trainer that the grids give.
IMAGENET_FLAGS = {
    "model",
    "model_size",
    "image_size",
    "cssm_type",
    "num_timesteps",
    "kernel_size",
    "short_conv_spatial_size",
    "delta_key_dim",
    "output_norm",
    "gate_type_cssm",
    "rope_mode",
    "block_norm",
    "head_pool",
    "precision",
    "batch_size",
    "epochs",
    "lr",
    "weight_decay",
    "warmup_epochs",
    "grad_clip",
    "drop_path_rate",
    "label_smoothing",
    "ema_decay",
    "timm_recipe",
    "tfrecord_dir",
    "tf_parallel_reads",
    "prefetch_depth",
    "project",
    "save_every",
    "eval_every",
    "ssl_temporal_loss",
    "ssl_pair_mode",
    "ssl_sigreg_weight",
    "ssl_proj_dim",
    "ssl_num_slices",
    "ssl_num_points",
}


def test_every_published_sweep_is_here():
    assert published() == sorted(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts_and_flags(name):
    sweep = load(find(name))
    assert len(sweep.runs) == COUNTS[name]
    imagenet = sweep.command == ("python", "src/training/train_imagenet.py")
    assert sweep.floor == (4 if imagenet else 8)
    parser = flags.parser()
    known = IMAGENET_FLAGS if imagenet else {action.dest for action in parser._actions}  # abbreviations are not flags
    for run in sweep.runs:
        assert run.args.keys() <= known
        if not imagenet:
            settings = parser.parse_args([*run.flags({}), "--batch_size", str(run.batch)])
            assert isinstance(flags.settle(settings), argparse.Namespace)
    different = {(run.batch, *sorted(run.args.items())) for run in sweep.runs}
    twice = 2 if name == "sweep_pathfinder" else 0  # T = 8, the default, is also a point of both T-ablations
    assert len(different) == len(sweep.runs) - twice


def test_later_arguments_replace_earlier_ones(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(
        "common: {batch_size: 64, lr: 1e-3, depth: 1, flag: true}\n"
        "blocks:\n"
        "  - name: 'e{embed_dim}_h{num_heads}_lr{lr}_{flag}'\n"
        "    args: {lr: 3e-4}\n"
        "    cases: [{embed_dim: 32, num_heads: 2}, {embed_dim: 64, num_heads: 4, batch_size: 8}]\n"
        "    grid: {flag: [true, false], depth: [3]}\n"
    )
    runs = load(file).runs
    assert [(run.name, run.batch) for run in runs] == [
        ("e32_h2_lr3e-4_1", 64),
        ("e32_h2_lr3e-4_0", 64),
        ("e64_h4_lr3e-4_1", 8),
        ("e64_h4_lr3e-4_0", 8),
    ]
    assert " ".join(runs[0].flags({})) == "--lr 3e-4 --depth 3 --flag --embed_dim 32 --num_heads 2"
    assert " ".join(runs[1].flags({})) == "--lr 3e-4 --depth 3 --embed_dim 32 --num_heads 2"


def test_paths_of_the_machine(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text("common: {batch_size: 8, tfrecord_dir: '${girik}/v2'}\nblocks: [{name: x}]\n")
    [run] = load(file).runs
    assert run.placeholders() == {"girik"}
    assert run.flags({"girik": "/data"}) == ["--tfrecord_dir", "/data/v2"]


BAD = {
    "not YAML": ("blocks: [", "not YAML: "),
    "a list": ("- x", r"got \['x'\], expected a mapping of count, command"),
    "unknown key": ("block: []", "block: unknown key, expected one of count, command, floor"),
    "twice": ("common: {lr: 1, lr: 2}", "line 1: the key 'lr' is given twice"),
    "no blocks": ("common: {}", "blocks: got None, expected a list of blocks"),
    "command": ("command: cssm train\nblocks: [{name: x}]", "command: got 'cssm train', expected a list of words"),
    "no batch": ("blocks: [{name: x}]", r"blocks\[0\]: batch_size: missing"),
    "batch": ("blocks: [{name: x, args: {batch_size: 0}}]", r"blocks\[0\]: batch_size: got 0, expected a positive"),
    "block key": ("blocks: [{name: x, arg: {}}]", r"blocks\[0\]: arg: unknown key, expected one of name, args"),
    "no name": ("blocks: [{args: {}}]", r"blocks\[0\]: name: got None, expected a template"),
    "unknown field": ("blocks: [{name: 'x_{e}'}]", r"blocks\[0\]: name: 'x_\{e\}' names 'e', which is no argument"),
    "name": ("blocks: [{name: a/b}]", r"blocks\[0\]: name: got 'a/b', expected letters"),
    "grid": ("blocks: [{name: x, grid: {lr: 1}}]", r"blocks\[0\]: grid: lr: got 1, expected a list of values"),
    "value": ("blocks: [{name: x, grid: {lr: [[1]]}}]", r"blocks\[0\]: grid: lr: got \[1\], expected a number"),
    "case": ("blocks: [{name: x, cases: [3]}]", r"blocks\[0\]: cases\[0\]: got 3, expected flag: value"),
    "flag": ("common: {--lr: 1}\nblocks: [{name: x}]", "common: --lr: expected a flag without its dashes"),
    "own flag": ("common: {run_name: x}\nblocks: [{name: x}]", "common: run_name: the runner gives this flag"),
    "one name": (
        "common: {batch_size: 8}\nblocks: [{name: x}, {name: x}]",
        r"blocks\[1\]: name: 'x' names two runs",
    ),
    "count": (
        "count: 2\ncommon: {batch_size: 8}\nblocks: [{name: x}]",
        "count: got 2, and the blocks expand to 1 runs",
    ),
}


@pytest.mark.parametrize("text, message", BAD.values(), ids=BAD)
def test_bad_grids_are_named(tmp_path, text, message):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(GridError, match=f"bad.yaml: {message}"):
        load(file)


def test_unknown_sweep():
    with pytest.raises(GridError, match=r"got 'sweep_16dist', expected a file or one of add_kqv_pathfinder, "):
        find("sweep_16dist")
