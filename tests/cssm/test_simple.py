"""SimpleCSSM: parameter trees, and every option against a forward written out in NumPy."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cssm import MIXERS, SimpleCSSM

from tests.cssm.checks import apply, assert_close, jit, random_variables, shapes
from tests.cssm.simple_reference import expected_logits

SUITE = dict(
    num_classes=1,
    depth=1,
    stem_mode="pathtracker",
    stem_layers=0,
    norm_type="layer",
    pos_embed="none",
    frame_readout="last",
    embed_dim=32,
    kernel_size=11,
)
SMALL = dict(
    embed_dim=4, num_classes=2, kernel_size=3, cssm_type="no_gate", stem_mode="pathtracker", pos_embed="none", seq_len=3
)


def check(model, x, **kwargs):
    variables = random_variables(model, x)
    params = jax.tree.map(lambda leaf: leaf.astype(np.float64), variables["params"])
    actual = apply(model, variables, x, **kwargs)
    assert_close(actual, expected_logits(model, params, x, **kwargs), 3e-5)


# Of the suite's model at C = H = W = 32, K = 11, from the published tables; the real-space layers have no_gate's tree.
COUNTS = {
    "no_gate": 5281,
    "no_gate_realspace_seq": 5281,
    "no_gate_realspace_par": 5281,
    "realspace_exact_seq": 5281,
    "realspace_compact_seq": 5281,
    "direct_conv_assoc": 5345,
    "direct_conv_seq": 5345,
    "direct_conv_parallel": 5345,
    "gated": 61729,
    "gdn": 111569,
    "s4nd_full": 5921,
    "convs5": 126401,
    "spatial_attn": 45889,
    "mamba2_seq": 13345,
    "gdn_seq": 7201,
}


@pytest.mark.parametrize("key", [key for key in COUNTS if key in MIXERS])
def test_suite_parameter_count(key):
    model = SimpleCSSM(**SUITE, seq_len=8, cssm_type=key)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == COUNTS[key]
    assert list(params) == sorted(["conv1", "norm1", "cssm_0", "norm_pre", "norm_post", "head"])


def test_tree_with_everything():
    model = SimpleCSSM(
        cssm_type="no_gate", depth=2, inter_mlp_ratio=1.5, pos_embed="learnable", n_register_tokens=3, kernel_size=5
    )
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((2, 8, 12, 9, 3)))
    assert set(variables) == {"params"}
    mixer = {"kernel": (32, 5, 5), "out_proj/bias": (32,), "out_proj/kernel": (32, 32)}
    norms = ["norm1", "norm2", "body_norm_0", "norm_pre", "norm_post"]
    assert shapes(variables["params"]) == {
        "conv1/bias": (32,),
        "conv1/kernel": (3, 3, 3, 32),
        "conv2/bias": (32,),
        "conv2/kernel": (3, 3, 32, 32),
        "pos_embed": (1, 1, 3, 3, 32),
        "register_tokens": (1, 3, 3, 3, 32),
        "mlp_0_up/bias": (48,),
        "mlp_0_up/kernel": (32, 48),
        "mlp_0_down/bias": (32,),
        "mlp_0_down/kernel": (48, 32),
        "head/bias": (2,),
        "head/kernel": (32, 2),
        **{f"cssm_{i}/{name}": shape for i in (0, 1) for name, shape in mixer.items()},
        **{f"{name}/{leaf}": (32,) for name in norms for leaf in ("scale", "bias")},
    }


def test_pre_norm_of_the_stem_has_the_size_of_its_input():
    model = SimpleCSSM(**{**SMALL, "stem_mode": "default"}, stem_norm_order="pre")
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 8, 8, 3)))["params"]
    assert (params["norm1"]["scale"].shape, params["norm2"]["scale"].shape) == ((3,), (4,))


def test_temporal_table_has_max_seq_len_rows():
    model = SimpleCSSM(**{**SMALL, "pos_embed": "separate"}, max_seq_len=7)
    assert random_variables(model, np.ones((1, 8, 8, 3), np.float32))["params"]["temporal_embed"].shape == (7, 4)


@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(stem_mode="default", stem_layers=1),
        dict(stem_mode="default", stem_layers=2, stem_norm_order="pre", act_type="relu"),
        dict(stem_norm_order="pre", stem_norm="instance"),
        dict(frame_readout="all", pool_type="max", readout_norm="post", act_type="gelu"),
        dict(frame_readout="all", norm_type="global_layer"),
        dict(norm_type="global_layer"),
        dict(depth=2, body_norm="temporal_layer", inter_mlp_ratio=1.5),
        dict(depth=3, norm_type="global_instance"),
        dict(depth=2, body_norm="instance", n_register_tokens=2),
        dict(pos_embed="learnable", n_register_tokens=1),
        dict(pos_embed="sinusoidal"),
        dict(pos_embed="separate"),
        dict(pos_embed="separate", max_seq_len=2),
    ],
    ids=str,
)
def test_forward(options, rng):
    check(SimpleCSSM(**{**SMALL, **options}), rng.normal(size=(2, 3, 6, 5, 3)).astype(np.float32))


def test_image_is_repeated(rng):
    check(SimpleCSSM(**SMALL), rng.normal(size=(2, 6, 5, 3)).astype(np.float32))


@pytest.mark.parametrize("frame_readout", ["last", "all"])
def test_return_spatial(frame_readout, rng):
    model = SimpleCSSM(**SMALL, frame_readout=frame_readout, n_register_tokens=1)
    check(model, rng.normal(size=(2, 3, 6, 5, 3)).astype(np.float32), return_spatial=True)


def test_global_layer_is_layer_where_no_norm_sees_five_axes(rng):
    x = rng.normal(size=(2, 3, 6, 5, 3)).astype(np.float32)
    models = [SimpleCSSM(**SMALL, norm_type=name) for name in ("layer", "global_layer")]
    variables = random_variables(models[0], x)
    np.testing.assert_array_equal(*(apply(model, variables, x) for model in models))


def test_batch_norm(rng):
    x = rng.normal(size=(2, 3, 6, 5, 3)).astype(np.float32)
    model = SimpleCSSM(**SMALL, norm_type="batch", depth=2)
    variables = jax.jit(model.init)(jax.random.key(0), x)
    names = {"norm1", "body_norm_0", "norm_pre", "norm_post"}
    assert set(variables["batch_stats"]) == names
    _, updated = apply(model, variables, x, mutable="batch_stats")
    assert all(np.abs(updated["batch_stats"][name]["mean"]).max() > 0 for name in names)
    alone, together = (apply(model, variables, x[:n], training=False)[0] for n in (1, 2))
    assert_close(alone, together)


def test_features_and_injections(rng):
    x = rng.normal(size=(2, 3, 6, 5, 3)).astype(np.float32)
    model = SimpleCSSM(**SMALL, n_register_tokens=2)
    variables = random_variables(model, x)
    y, sown = apply(model, variables, x, mutable="intermediates")
    (before,), (after,) = sown["intermediates"]["pre_cssm"], sown["intermediates"]["post_cssm"]
    assert before.shape == after.shape == (2, 5, 6, 5, 4)
    np.testing.assert_array_equal(apply(model, variables, x, return_features=True), after)
    other = np.zeros_like(x)
    assert_close(apply(model, variables, other, injected_features=before), y)
    assert_close(apply(model, variables, other, injected_post_cssm=after), y)
    assert np.abs(apply(model, variables, other) - y).max() > 1e-3
    assert apply(model, variables, x, injected_qkv_spatial=jnp.ones((2, 5, 6, 5, 4, 3))).shape == (2, 2)
    for argument in ("injected_features", "injected_post_cssm"):
        with pytest.raises(ValueError, match=rf"{argument}: got shape \(2, 3, 6, 5, 4\), expected \(2, 5, 6, 5, 4\)"):
            apply(model, variables, x, **{argument: before[:, 2:]})


def test_options_reach_the_mixer(rng):
    x = rng.normal(size=(1, 2, 6, 6, 3)).astype(np.float32)
    model = SimpleCSSM(**SMALL)
    variables = random_variables(model, x)

    def features(**fields):
        return apply(model.clone(**fields), variables, x, return_features=True)

    _, sown = apply(model, variables, x, mutable="intermediates")
    entering = sown["intermediates"]["pre_cssm"][0]
    assert_close(features(mixer_options={"residual": True}), features() + entering)
    assert np.abs(features(mixer_options={"origin_centred_kernel": True}) - features()).max() > 1e-3
    assert " scan[" in str(jax.make_jaxpr(model.clone(implementation="sequential").apply)(variables, x))


def test_equal_models_are_equal_keys():
    """`jax.jit` with a static model caches by its hash."""
    one, other = (SimpleCSSM(**SMALL, mixer_options={"residual": residual}) for residual in (True, False))
    assert hash(one) == hash(SimpleCSSM(**SMALL, mixer_options={"residual": True}))
    assert one == SimpleCSSM(**SMALL, mixer_options={"residual": True}) != other


def test_stages_are_named_in_the_compiled_program(rng):
    x = rng.normal(size=(1, 2, 6, 6, 3)).astype(np.float32)
    model = SimpleCSSM(**SMALL)
    text = jax.jit(model.apply).lower(random_variables(model, x), x).as_text(debug_info=True)
    for scope in ("stem", "cssm_0/transition", "cssm_0/spectral_scan", "cssm_0/projection", "readout"):
        assert re.search(scope.replace("/", '/[^"]*'), text)


def test_rotary_position_warns_and_changes_nothing(rng):
    x = rng.normal(size=(1, 2, 6, 6, 3)).astype(np.float32)
    model = SimpleCSSM(**{**SMALL, "embed_dim": 5})  # odd, which a rotation could not be
    variables = random_variables(model, x)
    with pytest.warns(UserWarning, match="pos_embed='mrope' has no effect"):
        y = apply(model.clone(pos_embed="mrope"), variables, x)
    np.testing.assert_array_equal(y, apply(model, variables, x))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (dict(pos_embed="learned_t"), "pos_embed: got 'learned_t', expected one of spatiotemporal"),
        (dict(frame_readout="first"), "frame_readout: got 'first', expected one of last, all"),
        (dict(pool_type="sum"), "pool_type: got 'sum', expected one of mean, max"),
        (dict(readout_norm="both"), "readout_norm: got 'both', expected one of pre, post"),
        (dict(stem_mode="conv"), "stem_mode: got 'conv', expected one of default, pathtracker"),
        (dict(stem_norm_order="mid"), "stem_norm_order: got 'mid', expected one of post, pre"),
        (dict(stem_layers=-1), "stem_layers: got -1"),
        (dict(norm_type="rms"), "norm_type: got 'rms', expected one of layer"),
        (dict(stem_norm="rms"), "stem_norm: got 'rms', expected one of layer"),
        (dict(depth=2, body_norm="rms"), "body_norm: got 'rms', expected one of layer"),
        (dict(act_type="selu"), "act_type: got 'selu', expected one of softplus"),
        (dict(depth=0), "depth: got 0, expected a positive integer"),
        (dict(n_register_tokens=-1), "n_register_tokens: got -1, expected a number >= 0"),
        (dict(embed_dim=5, pos_embed="sinusoidal"), "embed_dim: got 5, expected an even number for pos_embed="),
        (dict(embed_dim=5, pos_embed="mrope", cssm_type="gated"), "channels: got 5, expected an even number"),
        (dict(cssm_type="lstm"), "cssm_type: got 'lstm'"),
        (dict(depth=2, inter_mlp_ratio=0.1), "inter_mlp_ratio: got 0.1, expected 0 or at least 0.25"),
    ],
)
def test_bad_fields(options, match):
    with pytest.raises(ValueError, match=match):
        random_variables(SimpleCSSM(**{**SMALL, **options}), jnp.ones((1, 6, 6, 3)))


@pytest.mark.parametrize(
    ("error", "x", "match"),
    [
        (ValueError, jnp.ones((6, 6, 3)), r"x: got shape \(6, 6, 3\), expected \(B, H, W, C_in\) or"),
        (TypeError, jnp.ones((1, 6, 6, 3), jnp.uint8), "x: got dtype uint8, expected a real floating dtype"),
    ],
)
def test_bad_input(error, x, match):
    with pytest.raises(error, match=match):
        random_variables(SimpleCSSM(**SMALL), x)


@pytest.mark.parametrize("options", [{}, {"depth": 2}, {"n_register_tokens": 2}, {"mixer_options": {"residual": True}}])
def test_reading_the_last_frame_alone_changes_nothing_but_the_work(options, rng):
    """Who asks for intermediates has every frame made; who does not, only the last, with the same logits and gradients."""
    model = SimpleCSSM(**{**SMALL, **options})
    x = jnp.asarray(rng.normal(size=(2, 5, 8, 8, 3)), jnp.float32)
    variables = random_variables(model, x)

    def loss(params, **how):
        out = model.apply({"params": params}, x, training=False, **how)
        return jnp.sum((out[0] if how else out) ** 2)

    with_all = jax.value_and_grad(lambda p: loss(p, mutable=["intermediates"]))
    last_only = jax.value_and_grad(loss)
    jax.tree.map(assert_close, jit(last_only)(variables["params"]), jit(with_all)(variables["params"]))

    def transforms(f):
        return str(jax.make_jaxpr(f)(variables["params"]))

    assert "last_only=True" in transforms(last_only)
    assert "last_only=True" not in transforms(with_all)


@pytest.mark.parametrize("pos_embed", ["none", "learnable", "separate"])
@pytest.mark.parametrize("key", ["no_gate", "gated", "gdn", "hgru_bi"])
def test_dtypes(key, pos_embed):
    """Projections, convolutions and norms in dtype, parameters in param_dtype."""
    model = SimpleCSSM(
        cssm_type=key,
        embed_dim=8,
        depth=2,
        inter_mlp_ratio=2.0,
        n_register_tokens=1,
        pos_embed=pos_embed,
        kernel_size=3,
        dtype=jnp.bfloat16,
        param_dtype=jnp.float16,
    )
    x = jnp.ones((1, 2, 12, 8, 3))
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    assert all(leaf.dtype == jnp.float16 for leaf in jax.tree.leaves(variables["params"]))
    features = jax.eval_shape(lambda v: model.apply(v, x, return_features=True), variables)
    assert features.dtype == jax.eval_shape(model.apply, variables, x).dtype == jnp.bfloat16


def test_remat_keeps_less_for_the_same_gradient(rng):
    x = jnp.asarray(rng.standard_normal((1, 3, 6, 5, 3)))
    kept, gradients = {}, {}
    for remat in (False, True):
        model = SimpleCSSM(cssm_type="gdn", embed_dim=4, depth=2, kernel_size=3, stem_mode="pathtracker", remat=remat)
        variables = random_variables(model, x)
        loss = lambda v, model=model: (model.apply(v, x) ** 2).sum()
        residuals = jax.eval_shape(lambda v, loss=loss: jax.vjp(loss, v)[1], variables)
        kept[remat] = sum(leaf.size for leaf in jax.tree.leaves(residuals))
        gradients[remat] = jit(jax.grad(loss))(variables)
    assert kept[True] < kept[False] / 2
    jax.tree.map(assert_close, gradients[True], gradients[False])
