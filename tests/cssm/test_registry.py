"""Keys, and which of the wrapper's fields reach which mixer."""

from __future__ import annotations

import dataclasses

import pytest
from cssm import MIXERS, SimpleCSSM, mixer_class
from cssm.layers.base import KernelMixer
from cssm.layers.registry import WRAPPER_FIELDS, make_mixer, mixer_kwargs

FIELDS = {field.name: field.default for field in dataclasses.fields(SimpleCSSM)}
COMMON = {"channels": 4, "rope_mode": "none", "name": "cssm_0"}
KNOWN = [
    "gated",
    "hgru_bi",
    "transformer",
    "kqv",
    "mult_transformer",
    "g_transformer",
    "mg_transformer",
    "spectral_transformer",
    "add_kqv",
    "add_kqv_2",
    "add_kqv_1",
    "add_delta",
    "deltanet",
    "deltanet_d2",
    "deltanet_d3",
    "gdn",
    "gdn_d2",
    "gdn_d3",
    "gdn_int",
    "gdn_int_elem",
    "gdn_int_qk",
    "spatial_attn",
    "spatiotemporal_attn",
    "mamba2_seq",
    "gdn_seq",
    "conv_ssm",
    "s4nd",
    "s4nd_full",
    "convs5",
    "no_fft",
    "no_gate",
    "direct_conv_parallel",
    "direct_conv_seq",
    "direct_conv_assoc",
    "no_gate_realspace_seq",
    "no_gate_realspace_par",
]

OURS = ["realspace_exact_seq", "realspace_compact_seq", "kqv_product", "linear", "linear_opponent", "opponent"]


def test_every_published_key_is_known():
    assert set(WRAPPER_FIELDS) == {*KNOWN, *OURS}
    assert set(MIXERS) == set(WRAPPER_FIELDS)


def test_every_entry_names_fields_of_the_wrapper():
    for key, fields in WRAPPER_FIELDS.items():
        assert set(fields) <= set(FIELDS)
        assert len(set(fields)) == len(fields) == len(mixer_kwargs(key, FIELDS))


def test_renamed_fields():
    assert mixer_kwargs("s4nd", FIELDS) == {"d_state": 64, "bidirectional": True}
    assert mixer_kwargs("convs5", FIELDS) == {"state_dim": 16, "num_groups": 1}
    assert mixer_kwargs("kqv", FIELDS)["readout_state"] == "qka"
    assert "position_independent_gates" not in mixer_kwargs("kqv", FIELDS)
    assert "position_independent_gates" in mixer_kwargs("transformer", FIELDS)


@pytest.mark.parametrize("key", [key for key, layer in MIXERS.items() if issubclass(layer, KernelMixer)])
def test_fields_reach_the_mixer(key):
    wrapper = FIELDS | {"kernel_size": 7, "block_size": 3, "short_conv_size": 9, "mixer_options": {"residual": True}}
    mixer = make_mixer(key, wrapper, **COMMON)
    assert type(mixer) is mixer_class(key) is MIXERS[key]
    assert (mixer.kernel_size, mixer.block_size, mixer.short_conv_size, mixer.residual) == (7, 3, 9, True)


def test_unknown_key_lists_the_keys():
    with pytest.raises(ValueError, match="cssm_type: got 'no_gates', expected one of no_gate, gated"):
        mixer_class("no_gates")


@pytest.mark.parametrize("key", MIXERS)
def test_implementation(key):
    wrapper = FIELDS | {"implementation": "sequential"}
    if hasattr(MIXERS[key], "implementation"):
        assert make_mixer(key, wrapper, **COMMON).implementation == "sequential"
    else:
        with pytest.raises(
            ValueError, match=f"implementation: got 'sequential', expected None: '{key}' has no operation"
        ):
            make_mixer(key, wrapper, **COMMON)


@pytest.mark.parametrize("option", ["rezidual", "kernel_size", "name", "parent"])
def test_options_must_be_fields_of_the_mixer_alone(option):
    expected = f"mixer_options: got '{option}', expected fields of 'no_gate': frames_at_once, gate_type"
    with pytest.raises(ValueError, match=expected):
        make_mixer("no_gate", FIELDS | {"mixer_options": {option: 1}}, **COMMON)


def test_rotation_that_no_layer_applies_warns():
    with pytest.warns(UserWarning, match="pos_embed='mrope' has no effect: 'no_gate' does not encode positions"):
        mixer = make_mixer("no_gate", FIELDS, **{**COMMON, "rope_mode": "mrope"})
    assert mixer.rope_mode == "mrope"
