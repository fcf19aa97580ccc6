"""The ImageNet trainer: presets, schedule, losses, averages, and a tiny run on generated images that stops and goes on."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cssm.cli import main
from cssm.data.loader import make_loader
from cssm.train import checkpoints, loop, mesh
from cssm.train.imagenet import flags, recipe
from cssm.train.imagenet.model import model_of
from cssm.train.imagenet.objective import ImageObjective
from cssm.train.optimiser import make_optimiser
from cssm.train.step import Pixels
from PIL import Image

from tests.cssm.train.runs import log

WNIDS = ("n00000001", "n00000002")


def settle(*words):
    return flags.settle(flags.parser().parse_args(words))


def test_presets_force_all_but_the_augmentation():
    timm = settle("--timm_recipe", "--lr", "1", "--ema_decay", "0.5", "--weight_decay", "0.3")
    assert (timm.lr, timm.ema_decay, timm.augmentation, timm.weight_decay) == (1e-3, 0.9998, "3aug", 0.3)
    assert settle("--timm_recipe", "--augmentation", "randaugment").augmentation == "randaugment"
    assert settle().augmentation == "randaugment"
    shvit = settle("--shvit_recipe")
    assert (shvit.grad_clip_mode, shvit.color_jitter, shvit.repeated_aug) == ("agc", 0.4, True)
    deit3 = settle("--deit3_recipe")
    assert (deit3.optimizer, deit3.epochs, deit3.loss, deit3.ema_decay) == ("lamb", 800, "bce", 0)
    assert vars(flags.settle(deit3)) == vars(settle("--deit3_recipe")), (
        "settled flags stay: a run is read again from them"
    )


@pytest.mark.parametrize(
    "words, message",
    [
        ("--timm_recipe --deit3_recipe", "--deit3_recipe: got it beside --timm_recipe, expected one preset"),
        ("--model tiny_vit", "--model: got 'tiny_vit', expected one of cssm_shvit, conv_shvit"),
        ("--data_loader dali", "--data_loader: got 'dali', expected one of tfrecord, folder"),
        ("--mixup_prob 2", r"--mixup_prob: got 2.0, expected a number in \[0, 1\]"),
        ("--min_lr -1", "--min_lr: got -1.0, expected a number from 0 on"),
        ("--variable_timesteps 4 0", r"--variable_timesteps: got \[4, 0\], expected positive integers"),
    ],
)
def test_bad_flags_are_named(words, message):
    with pytest.raises(ValueError, match=message):
        settle(*words.split())


def test_flags_reach_the_model():
    words = "--model_size s1 --kernel_size 3 --no_pos_conv --precision bf16 --cssm_type gdn --static_image_fast_path"
    model = model_of(settle(*words.split()), 7)
    assert (model.embed_dims, model.kernel_sizes, model.num_classes) == ((64, 128, 256, 384), (3, 3, 3, 3), 7)
    assert (model.use_pos_conv, model.use_dwconv, model.dtype) == (False, True, jnp.bfloat16)
    assert (model.short_conv_size, model.use_input_gates, model.rope_mode) == (0, False, "none")
    assert not any(model_of(settle("--model", "conv_shvit", "--model_size", "s1"), 7).use_cssm_stages)
    with pytest.raises(ValueError, match="--embed_dims: got '8,8', expected 4 integers from 1 on"):
        model_of(settle("--embed_dims", "8,8"), 7)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two classes: 8 dark and 8 light images to train on, 3 of each held out."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for label, wnid in enumerate(WNIDS):
            (root / split / wnid).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 100, (40, 40, 3)) + 150 * label
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / wnid / f"{number}.png")
    return root


def test_schedule(images):
    """16 images in batches of 8: 2 steps an epoch. The published cosine ends as early as the warm-up is long."""
    words = f"--data_dir {images} --num_workers 0 --batch_size 4 --epochs 10 --warmup_epochs 2 --model_size s1".split()
    made = recipe.make(settle(*words), 2)
    assert (made.batch_size, made.steps_per_epoch, made.total_steps) == (8, 2, 20)
    values = [float(made.schedule(step)) for step in (0, 2, 4, 12, 20)]
    np.testing.assert_allclose(values, [0, 5e-4, 1e-3, (1e-3 + 1e-5) / 2, 1e-5], rtol=1e-6)
    legacy = recipe.make(settle(*words, "--legacy_schedule"), 2).schedule
    np.testing.assert_allclose([legacy(10), legacy(16), legacy(20)], [(1e-3 + 1e-5) / 2, 1e-5, 1e-5], rtol=1e-6)
    scaled = recipe.make(settle(*words, "--shvit_recipe"), 2).schedule
    np.testing.assert_allclose([scaled(4), scaled(20)], [1e-3 * 8 / 512, 1e-5 * 8 / 512], rtol=1e-6)


def test_losses_of_soft_labels():
    logits, soft = jnp.array([[2.0, -1.0, 0.5]]), jnp.array([[0.7, 0.3, 0.0]])
    smoothed = 0.9 * soft + 0.1 / 3
    entropy, binary = (
        ImageObjective(None, Pixels(), label_smoothing=0.1, binary=b).losses(logits, soft) for b in (0, 1)
    )
    np.testing.assert_allclose(entropy[0], -(smoothed * jax.nn.log_softmax(logits)).sum(), rtol=1e-6)
    p = jax.nn.sigmoid(logits)
    np.testing.assert_allclose(binary[0], -(smoothed * jnp.log(p) + (1 - smoothed) * jnp.log(1 - p)).mean(), rtol=1e-5)


def test_sgd_adds_the_decay_after_the_momentum_and_agc_clips_by_units():
    params, grads = {"w": jnp.full((2, 3), 2.0)}, {"w": jnp.full((2, 3), 100.0)}
    rule = make_optimiser(optax.constant_schedule(0.1), name="sgd", weight_decay=0.5, agc=0.02)
    updates, state = rule.update(grads, rule.init(params), params)
    clipped = 0.02 * 2.0  # a column's norm is 2 sqrt 2, and so are its entries' shares
    np.testing.assert_allclose(updates["w"], -0.1 * (1.9 * clipped + 0.5 * 2), rtol=1e-5)
    updates, _ = rule.update(grads, state, params)
    np.testing.assert_allclose(updates["w"], -0.1 * ((1 + 0.9 * 1.9) * clipped + 0.5 * 2), rtol=1e-5)


def test_repeated_images_are_augmented_anew(images):
    loader = make_loader("imagenet", "train", 6, image_size=8, root=images, repeats=3)
    assert len(loader) == 8
    batch = next(iter(loader))
    first = batch["image"][:3]
    assert len(set(batch["label"][:3].tolist())) == len(set(batch["label"][3:].tolist())) == 1
    assert len({image.tobytes() for image in first}) == 3


def test_a_tiny_run_stops_goes_on_and_is_evaluated(images, tmp_path, capsys, monkeypatch):
    words = (
        f"--data_dir {images} --num_workers 0 --batch_size 4 --epochs 2 --steps_per_epoch 2 --save_steps 2 --log_every 1 "
        "--image_size 32 --embed_dims 4,4,4,4 --depths 1,0,0,1 --block_size 4 --num_timesteps 2 --timm_recipe "
        f"--precision bf16 --warmup_epochs 1 --run_name straight --checkpoint_dir {tmp_path}"
    ).split()
    run = loop.Run(settle(*words), jax.devices()[:1])
    fresh, position = jax.tree.map(jnp.copy, run.state), run.task.training.state()

    def train(name, steps):
        """As a new process would, but that nothing is compiled anew."""
        run.directory, run.total_steps = tmp_path / name / "run", steps
        run.state, run.progress = jax.tree.map(jnp.copy, fresh), loop.Progress(position)
        run.task.training.restore(position)
        assert run.train() == 0

    train("straight", 4)
    train("resumed", 2)
    train("resumed", 4)
    straight, resumed = (log(tmp_path / name) for name in ("straight", "resumed"))
    losses = [record["train/loss"] for record in straight if "train/loss" in record]
    assert len(losses) == 4
    assert losses == [record["train/loss"] for record in resumed if "train/loss" in record]
    last = straight[-1]
    assert {"val/loss", "val/acc", "val/ema_loss", "val/ema_acc"} <= last.keys()
    assert last["best_val_acc"] == max(record["val/ema_acc"] for record in straight if "val/ema_acc" in record)
    assert run.objective.model.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves((run.state.params, run.state.ema))} == {jnp.dtype("float32")}

    # The average is that of its definition.
    before = jax.tree.map(np.array, run.state)
    after, _ = run.train_step(run.state, mesh.place(mesh.batch_sharding(run.mesh), next(iter(run.task.training))))
    for mean, was, new in zip(*map(jax.tree.leaves, (after.ema, before.ema, after.params)), strict=True):
        np.testing.assert_allclose(mean, 0.9998 * was + (1 - 0.9998) * new, rtol=1e-6)

    # `cssm eval` reads the run's flags again; what they make is at hand.
    read: list[Any] = []
    monkeypatch.setattr(loop, "Run", lambda args: read.append(args) or run)
    assert main(["eval", str(tmp_path / "straight" / "run"), "--last"]) == 0
    assert vars(read[0]) == vars(run.args) | {"resume": str(tmp_path / "straight" / "run")}
    out = capsys.readouterr().out
    assert "after step 4, 6 samples" in out
    assert f"accuracy {last['val/ema_acc']:.4f}" in out
    saved = checkpoints.Checkpoints(tmp_path / "straight" / "run")
    restored = saved.restore(fresh)[0]
    saved.close()
    for kept, had in zip(*map(jax.tree.leaves, (restored.batch_stats, before.batch_stats)), strict=True):
        np.testing.assert_array_equal(kept, had)


class _Steps(nn.Module):
    """A model whose logits are the number of its steps."""

    num_classes: int = 2
    num_timesteps: int = 1

    def __call__(self, x, training):
        return jnp.full((len(x), 2), float(self.num_timesteps))


def test_a_step_draws_one_of_the_timesteps():
    objective = ImageObjective(_Steps(), Pixels(), timesteps=(3, 5, 8))
    forward = jax.jit(lambda key: objective.forward({}, jnp.zeros((1, 4, 4, 3)), key)[0][0, 0])
    assert {float(forward(jax.random.PRNGKey(seed))) for seed in range(20)} == {3.0, 5.0, 8.0}
