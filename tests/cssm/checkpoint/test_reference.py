"""Published checkpoints: what is read, what is refused, and that a bad one changes nothing."""

from __future__ import annotations

import argparse
import os
import pickle

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from cssm import SimpleCSSM
from cssm.checkpoint import CheckpointMismatch, load_reference
from cssm.checkpoint.safe_pickle import RefusedPickle

X = np.ones((1, 2, 6, 6, 3), np.float32)
MODEL = SimpleCSSM(
    cssm_type="no_gate", embed_dim=4, kernel_size=3, stem_mode="pathtracker", norm_type="batch", pos_embed="none"
)


@pytest.fixture(scope="module")
def variables():
    return jax.jit(MODEL.init)(jax.random.key(0), X)


@pytest.fixture(scope="module")
def content(variables):
    """As the published trainer pickles it, with values of its own."""
    numbers = iter(range(1000))
    tree = jax.tree.map(lambda leaf: np.full(leaf.shape, next(numbers), np.float32), variables)
    return {
        **tree,
        "epoch": 7,
        "step": np.int64(350),
        "training_args": {"lr": 1e-3, "betas": (0.9, 0.999), "wandb": None},
    }


def write(directory, content, protocol=pickle.DEFAULT_PROTOCOL):
    path = directory / "checkpoint.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol, tmp_path, content, variables):
    path = write(tmp_path, content, protocol)
    for place in (path, tmp_path, str(path)):
        checkpoint = load_reference(place)
        assert (checkpoint.epoch, checkpoint.step) == (7, 350)
        assert checkpoint.training_args == content["training_args"]
    fitted = checkpoint.fit(variables)
    jax.tree.map(np.testing.assert_array_equal, fitted, {key: content[key] for key in ("params", "batch_stats")})
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(fitted))


def test_other_arrays_that_runs_pickle(tmp_path, content):
    """jax arrays, 16-bit ones, namespaces."""
    arrays = {"a": jnp.arange(3.0), "b": np.ones(2, ml_dtypes.bfloat16), "c": np.float32(2)}
    path = write(tmp_path, {"params": arrays, "training_args": argparse.Namespace(lr=1.0)})
    checkpoint = load_reference(path)
    jax.tree.map(np.testing.assert_array_equal, checkpoint.params, {**arrays, "a": np.arange(3.0)})
    assert checkpoint.params["b"].dtype == ml_dtypes.bfloat16
    assert checkpoint.training_args == {"lr": 1.0}
    assert checkpoint.epoch is None


@pytest.mark.parametrize("wrapped", [False, True])
def test_orbax(wrapped, tmp_path, content, variables):
    import orbax.checkpoint as ocp

    state = {"params": {"params": content["params"]} if wrapped else content["params"], "step": np.int64(3)}
    state["batch_stats"] = content["batch_stats"]
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "epoch_1", state)
    checkpoint = load_reference(tmp_path / "epoch_1")
    assert checkpoint.step == 3
    jax.tree.map(
        np.testing.assert_array_equal,
        checkpoint.fit(variables),
        {key: content[key] for key in ("params", "batch_stats")},
    )


class Runs:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {marker}",), "system"),
        (eval, ("open('{marker}', 'w')",), "eval"),
        (open, ("{marker}", "w"), "open"),
        (getattr, (np, "save"), "getattr"),
        (np.load, ("{marker}",), "numpy"),
    ],
    ids=["system", "eval", "open", "getattr", "load"],
)
def test_code_is_refused(protocol, function, arguments, name, tmp_path, content):
    marker = tmp_path / "ran"
    arguments = [a.format(marker=marker) if isinstance(a, str) else a for a in arguments if a is not np]
    if function is getattr:
        arguments = [Runs(__import__, "os"), "system"]
    path = write(tmp_path, {**content, "extra": Runs(function, *arguments)}, protocol)
    with pytest.raises(RefusedPickle, match=rf"checkpoint.pkl: refused, for it names \S*({name}|__import__)"):
        load_reference(path)
    assert not marker.exists()


def test_a_jax_array_built_by_something_else_is_refused(tmp_path):
    """The one allowed constructor that takes another as an argument."""
    marker = tmp_path / "ran"
    rebuild = jnp.ones(1).__reduce__()[0]
    for construct in (os.mkdir, np.ndarray):
        path = write(tmp_path, {"params": {"a": Runs(rebuild, construct, (str(marker),), None, None)}})
        with pytest.raises(RefusedPickle):
            load_reference(path)
    assert not marker.exists()


def test_truncated_and_wrong_files(tmp_path, content):
    whole = pickle.dumps(content)
    path = tmp_path / "checkpoint.pkl"
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"checkpoint.pkl: no readable pickle"):
            load_reference(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(ValueError, match="no readable pickle"):
        load_reference(path)
    with pytest.raises(FileNotFoundError, match="nothing at"):
        load_reference(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no readable Orbax checkpoint"):
        load_reference(tmp_path / "empty")
    for wrong, match in (
        ([1, 2], "holds a list, expected a dict"),
        ({"epoch": 1}, "no 'params' in it, only epoch"),
        ({"params": {}}, "no 'params' in it"),
        ({"params": {"a": "text"}}, "params/a is a str, expected an array of numbers"),
        (
            {"params": {"a": np.ones(1), "b": {"d": np.array([None])}}},
            "params/b/d is a ndarray, expected an array of numbers",
        ),
    ):
        with pytest.raises(ValueError, match=match):
            load_reference(write(tmp_path, wrong))


def test_mismatch_is_reported_whole_and_changes_nothing(tmp_path, content, variables):
    before = jax.tree.map(np.array, variables)
    params = dict(content["params"])
    params["head"] = {"kernel": np.zeros((4, 5), np.float32), "bias": params["head"]["bias"]}
    params["cssm_0"] = {"kernel": params["cssm_0"]["kernel"], "out_projection": params["cssm_0"]["out_proj"]}
    params["norm1"] = {"scale": np.ones(4, np.int32), "bias": params["norm1"]["bias"]}
    checkpoint = load_reference(write(tmp_path, {**content, "params": params}))
    with pytest.raises(CheckpointMismatch) as raised:
        checkpoint.fit(variables)
    comparison = raised.value.comparison
    assert comparison.missing == ("params/cssm_0/out_proj/bias", "params/cssm_0/out_proj/kernel")
    assert comparison.extra == ("params/cssm_0/out_projection/bias", "params/cssm_0/out_projection/kernel")
    assert comparison.misshaped == {"params/head/kernel": ((4, 5), (4, 2))}
    assert comparison.mistyped == {"params/norm1/scale": ("int32", "float32")}
    for path in (*comparison.missing, *comparison.extra, *comparison.misshaped, *comparison.mistyped):
        assert path in str(raised.value)
    jax.tree.map(np.testing.assert_array_equal, variables, before)

    fitted = checkpoint.fit(variables, partial=True)
    np.testing.assert_array_equal(fitted["params"]["cssm_0"]["kernel"], params["cssm_0"]["kernel"])
    np.testing.assert_array_equal(fitted["params"]["head"]["kernel"], before["params"]["head"]["kernel"])
