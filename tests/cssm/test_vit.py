"""The larger models: published counts of parameters, and values from their formulas in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cssm import BaselineViT, CSSMSHViT, CSSMViT

from tests.cssm.checks import apply, assert_close, check_truth, jit, random_variables
from tests.cssm.layers import truth as t
from tests.cssm.layers.test_gated import gated

COUNTS = [
    (BaselineViT, "tiny", {}, 6316840),
    (BaselineViT, "base", {}, 96043240),
    (CSSMViT, "tiny", {"cssm_type": "hgru_bi"}, 56481928),
    (CSSMViT, "base", {"cssm_type": "hgru_bi"}, 299482504),
    (CSSMViT, "tiny", {"cssm_type": "gated"}, 17296456),
    (CSSMViT, "base", {"cssm_type": "gated"}, 127400008),
    (CSSMSHViT, "s1", {}, 5206829),
    (CSSMSHViT, "s4", {}, 14597713),
    (CSSMSHViT, "s1", {"cssm_type": "gdn"}, 5782466),
    (CSSMSHViT, "s4", {"cssm_type": "gdn"}, 16347370),
]


@pytest.mark.parametrize(("cls", "size", "fields", "count"), COUNTS)
def test_published_counts(cls, size, fields, count):
    model = cls.sized(size, num_classes=1000, **fields)
    params = jax.eval_shape(lambda key: model.init(key, jnp.ones((1, 8, 224, 224, 3)), False), jax.random.key(0))[
        "params"
    ]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def layer_norm(p, x, axes=(-1,)):
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + 1e-6) * p["scale"] + p["bias"]


def conv(p, x, stride):
    """SAME (the larger half of the padding behind), or VALID where stride and side are one."""
    kernel = p["kernel"]
    size = kernel.shape[0]
    height, width = x.shape[-3:-1]
    totals = [max((-(-n // stride) - 1) * stride + size - n, 0) for n in (height, width)]
    x = np.pad(x, [(0, 0)] * (x.ndim - 3) + [(n // 2, n - n // 2) for n in totals] + [(0, 0)])
    rows, columns = -(-height // stride), -(-width // stride)
    y = sum(
        x[..., i : i + rows * stride : stride, j : j + columns * stride : stride, :][..., :rows, :columns, :]
        @ kernel[i, j]
        for i in range(size)
        for j in range(size)
    )
    return y + p.get("bias", 0)


def mlp(p, x):
    h = t.gelu(t.dense(p["fc1"], x))
    h = h + t.depthwise(p["dwconv"]["dwconv"], h) if "dwconv" in p else h
    return t.dense(p["fc2"], h)


def attention(p, x, heads):
    q, k, v = (
        np.moveaxis(part.reshape(*part.shape[:-1], heads, -1), -2, -3) for part in np.split(t.dense(p["qkv"], x), 3, -1)
    )
    weights = np.exp(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]))
    y = np.moveaxis(weights / weights.sum(-1, keepdims=True) @ v, -3, -2)
    return t.dense(p["proj"], y.reshape(*x.shape))


def baseline(p, x):
    x = conv(p["patch_embed"]["proj"], x, 2) + p["pos_embed"]
    shape = x.shape
    for i in range(2):
        b = p[f"block{i}"]
        x = x.reshape(shape[0] * shape[1], -1, shape[-1])
        x = x + b["gamma1"] * attention(b["attn"], layer_norm(b["norm1"], x), 2)
        x = (x + b["gamma2"] * mlp(b["mlp"], layer_norm(b["norm2"], x))).reshape(shape)
        if i == 1:
            b = p["temporal_block1"]
            over_time = np.moveaxis(x, 1, 3)
            over_time = over_time + b["gamma"] * attention(b["attn"], layer_norm(b["norm"], over_time), 2)
            x = np.moveaxis(over_time, 3, 1)
    return t.dense(p["head"], layer_norm(p["norm"], x).mean((1, 2, 3)))


class InEvaluation:
    """A model whose call is an evaluation, for `check_truth`; and only its parameters are variables."""

    def __init__(self, model, **options):
        self.model, self.options = model, options

    def init(self, key, x):
        return self.model.init(key, x, False)

    def apply(self, variables, x):
        return self.model.apply(variables, x, False, **self.options)

    def __hash__(self):
        return hash(self.model)

    def __eq__(self, other):
        return self.model == other.model


def test_baseline_vit(rng):
    model = BaselineViT(num_classes=3, embed_dim=4, depth=2, patch_size=2, num_heads=2, temporal_attn_every=2)
    check_truth(InEvaluation(model), baseline, rng.normal(size=(2, 3, 4, 6, 3)))


def cssm_vit(p, x):
    x = layer_norm(p["stem"]["norm"], t.gelu(conv(p["stem"]["conv"], x, 2))) + p["pos_embed"]
    for i in range(2):
        b = p[f"block{i}"]
        y = gated(b["cssm"], layer_norm(b["norm1"], x), activation=lambda z: 2 * t.sigmoid(z))
        x = x + b["gamma1"] * t.silu(y)
        x = x + b["gamma2"] * mlp(b["mlp"], layer_norm(b["norm2"], x))
    logits = t.dense(p["head"], layer_norm(p["norm"], t.gelu(x)))[:, -1]
    return np.log(np.exp(logits).sum((1, 2)))


def test_cssm_vit(rng):
    model = CSSMViT(
        num_classes=3,
        embed_dim=4,
        depth=2,
        stem_stride=2,
        cssm_type="gated",
        kernel_size=3,
        use_dwconv=True,
        output_act="silu",
        pooling_mode="logsumexp",
    )
    check_truth(InEvaluation(model), cssm_vit, rng.normal(size=(1, 3, 7, 8, 3)))


def test_cssm_vit_every_pixel_and_frame(rng):
    model = CSSMViT(
        num_classes=3, embed_dim=4, depth=1, stem_mode="patch", patch_size=2, cssm_type="gated", kernel_size=3
    )
    x = rng.normal(size=(2, 3, 4, 6, 3)).astype(np.float32)
    variables = random_variables(model, x, training=False)
    pooled, logits = apply(model, variables, x, training=False, return_spatial=True)
    assert logits.shape == (2, 3, 2, 3, 3)
    assert_close(logits[:, -1].mean((1, 2)), pooled)
    assert_close(apply(model, variables, x, training=False), pooled)


def conv_bn(p, x):
    y = conv(p["conv"], x, 2)  # running mean 0 and variance 1, as they are at first
    return y / np.sqrt(1 + 1e-5) * p["bn"]["scale"] + p["bn"]["bias"]


def shvit(p, x, norm_axes=(1, 2, 3, 4)):
    """Two stages, the second with a mixer, of images repeated to three frames."""
    x = conv_bn(p["patch_embed"]["ConvBN_1"], t.gelu(conv_bn(p["patch_embed"]["ConvBN_0"], x)))
    b = p["stage0_block0"]
    x = x + t.dense(b["pwconv"], t.gelu(t.depthwise(b["dwconv"]["dwconv"], layer_norm(b["norm1"], x))))
    x = x + mlp(b["mlp"], layer_norm(b["norm2"], x))
    x = conv_bn(p["downsample1"]["ConvBN_0"], x)
    b = p["stage1_block0"]
    frames = np.repeat(x[:, None], 3, 1)
    y = layer_norm(b["norm1"], frames, norm_axes)
    y = gated(b["cssm"], y + t.depthwise(b["pos_conv"], y), gate_type="factored")
    if "gate_fc1" in b:
        q, k = frames[:, 0].mean((1, 2)), y.mean((2, 3))
        both = np.concatenate([np.repeat(q[:, None], 3, 1), k], -1)
        z = t.dense(b["gate_fc2"], t.gelu(t.dense(b["gate_fc1"], both)))[..., 0] + np.array([0, 0, 4.0])
        weights = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        y = (weights[:, :, None, None, None] * y).sum(1)
    else:
        y = y[:, -1]
    x = x + y
    x = x + mlp(b["mlp"], layer_norm(b["norm2"], x))
    return t.dense(p["head"], layer_norm(p["norm"], x).max((1, 2)))


SHVIT = {
    "num_classes": 3,
    "embed_dims": (4, 4),
    "depths": (1, 1),
    "use_cssm_stages": (False, True),
    "kernel_sizes": (3, 3),
    "num_timesteps": 3,
}


class WithFreshStatistics(InEvaluation):
    """Batch norms keep their first statistics: parameters alone are variables."""

    def init(self, key, x):
        return {"params": self.model.init(key, x, False)["params"]}

    def apply(self, variables, x):
        shapes = jax.eval_shape(lambda: self.model.init(jax.random.key(0), x, False)["batch_stats"])
        fresh = jax.tree_util.tree_map_with_path(
            lambda path, leaf: (jnp.ones if path[-1].key == "var" else jnp.zeros)(leaf.shape, x.dtype), shapes
        )
        return self.model.apply({**variables, "batch_stats": fresh}, x, False)


@pytest.mark.parametrize(
    "fields", [{}, {"timestep_gate": True, "block_norm": "temporal_layer"}], ids=["last", "weighted"]
)
def test_cssm_shvit(fields, rng):
    axes = (1, 4) if fields else (1, 2, 3, 4)
    model = CSSMSHViT(**SHVIT, **fields)
    check_truth(WithFreshStatistics(model), lambda p, x: shvit(p, x, axes), rng.normal(size=(2, 24, 32, 3)))


def test_cssm_shvit_of_a_still_video_is_that_of_the_image(rng):
    """But for the frames that the head sees: its maximum is over time, too."""
    model = CSSMSHViT(**SHVIT)
    image = rng.normal(size=(1, 24, 32, 3)).astype(np.float32)
    variables = random_variables(model, image, training=False)
    variables["batch_stats"] = jax.tree.map(lambda leaf: np.abs(leaf) + 0.5, variables["batch_stats"])
    one = apply(model.clone(num_timesteps=1), variables, image, training=False)
    assert_close(apply(model, variables, image[:, None], training=False), one)


def test_training_updates_statistics_and_drops_paths(rng):
    model = CSSMSHViT(**SHVIT, drop_path_rate=0.5, linear_probe=True)
    x = rng.normal(size=(4, 24, 32, 3)).astype(np.float32)
    variables = random_variables(model, x, training=False)

    @jit
    def run(seed):
        return model.apply(variables, x, True, rngs={"dropout": jax.random.key(seed)}, mutable=["batch_stats"])

    (first, probe), updates = run(0)
    (second, _), _ = run(1)
    assert first.shape == probe.shape == (4, 3)
    assert np.abs(first - second).max() > 1e-3
    before, after = (jax.tree.leaves(tree["batch_stats"]) for tree in (variables, updates))
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, after))


@pytest.mark.parametrize("cls", [CSSMViT, CSSMSHViT, BaselineViT])
def test_dtypes(cls):
    fields = {
        CSSMViT: {"embed_dim": 4, "depth": 1, "cssm_type": "gated", "kernel_size": 3},
        CSSMSHViT: SHVIT,
        BaselineViT: {"embed_dim": 4, "depth": 1, "num_heads": 2, "patch_size": 4},
    }[cls]
    model = cls(**fields, dtype=jnp.bfloat16)
    x = jnp.ones((1, 2, 24, 32, 3), jnp.bfloat16)
    variables = jax.eval_shape(lambda key: model.init(key, x, False), jax.random.key(0))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    logits = jax.eval_shape(lambda v: model.apply(v, x, False), variables)
    assert logits.dtype == (jnp.float32 if cls is CSSMSHViT else jnp.bfloat16)


@pytest.mark.parametrize(
    ("model", "shape", "match"),
    [
        (CSSMViT(), (1, 2, 16, 16, 3), "cssm_type: got 'opponent', expected one of gated, hgru_bi, transformer"),
        (CSSMViT(cssm_type="gated", stem_mode="vit"), (1, 2, 16, 16, 3), "stem_mode: got 'vit'"),
        (CSSMViT(cssm_type="gated"), (2, 16, 16, 3), r"x: got shape \(2, 16, 16, 3\), expected \(B, T, H, W, C_in\)"),
        (BaselineViT(num_heads=5), (1, 2, 16, 16, 3), "num_heads: got 5, expected a divisor of the 384 channels"),
        (CSSMSHViT(cssm_type="no_gate"), (1, 64, 64, 3), "cssm_type: got 'no_gate', expected one of gated, gdn"),
        (CSSMSHViT(depths=(1, 2)), (1, 64, 64, 3), r"depths: got \(1, 2\), expected one for each of embed_dims"),
    ],
)
def test_bad_fields(model, shape, match):
    with pytest.raises(ValueError, match=match):
        jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.ones(shape), False))


def test_published_fallback_is_hgru():
    fields = {"embed_dim": 4, "depth": 1, "kernel_size": 3}
    x = jnp.ones((1, 2, 16, 16, 3))
    trees = [
        jax.eval_shape(lambda m=m: m.init(jax.random.key(0), x, False))
        for m in (CSSMViT(**fields, published_fallback=True), CSSMViT(**fields, cssm_type="hgru_bi"))
    ]
    assert trees[0] == trees[1]
