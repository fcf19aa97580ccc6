"""From a key and a wrapper's fields to a mixing layer.

Every mixer takes channels, kernel_size, block_size and rope_mode; `WRAPPER_FIELDS` lists what else each key receives
from `SimpleCSSM`, under the wrapper's name for it; `implementation` goes to every mixer that has it.
Source: CSSM model specification 2.0 and 4.2.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

from cssm.layers.additive import AdditiveCSSM, AdditiveDeltaCSSM, AdditiveQVCSSM, AdditiveSingleCSSM
from cssm.layers.base import Mixer
from cssm.layers.conv_ssm import ConvSSMCSSM
from cssm.layers.convs5 import ConvS5CSSM
from cssm.layers.deltanet import DeltaNetCSSM, MatrixDeltaNetCSSM, MatrixDeltaNetD3CSSM
from cssm.layers.direct_conv import DirectConvAssocCSSM, DirectConvParallelCSSM, DirectConvSeqCSSM
from cssm.layers.g_transformer import GrowingTransformerCSSM
from cssm.layers.gated import GatedCSSM
from cssm.layers.gdn import GatedDeltaNetCSSM
from cssm.layers.gdn_seq import GDNSeqCSSM
from cssm.layers.gdn_variants import (
    GatedDeltaNetD2CSSM,
    GatedDeltaNetD3CSSM,
    GatedDeltaNetElementwiseCSSM,
    GatedDeltaNetQueryKeyCSSM,
    GatedDeltaNetSpectralCSSM,
)
from cssm.layers.hgru_bi import HGRUBilinearCSSM
from cssm.layers.kqv_product import KQVCSSM
from cssm.layers.linear import LinearCSSM
from cssm.layers.mamba2_seq import Mamba2SeqCSSM
from cssm.layers.mg_transformer import MambaGrowingTransformerCSSM
from cssm.layers.mult_transformer import MultiplicativeTransformerCSSM
from cssm.layers.no_fft import NoFFTCSSM
from cssm.layers.no_gate import NoGateCSSM
from cssm.layers.opponent import LinearOpponentCSSM, OpponentCSSM
from cssm.layers.realspace_compact import RealSpaceCompactSeqCSSM
from cssm.layers.realspace_exact import RealSpaceExactSeqCSSM
from cssm.layers.realspace_par import NoGateRealSpaceParallelCSSM
from cssm.layers.realspace_seq import NoGateRealSpaceSeqCSSM
from cssm.layers.s4nd import S4NDCSSM, S4NDFullCSSM
from cssm.layers.spatial_attn import SpatialAttentionCSSM, SpatiotemporalAttentionCSSM
from cssm.layers.spectral_transformer import SpectralTransformerCSSM
from cssm.layers.transformer import TransformerCSSM

MIXERS: dict[str, type[Mixer]] = {
    "no_gate": NoGateCSSM,
    "gated": GatedCSSM,
    "hgru_bi": HGRUBilinearCSSM,
    "transformer": TransformerCSSM,
    "kqv": TransformerCSSM,
    "no_fft": NoFFTCSSM,
    "spatial_attn": SpatialAttentionCSSM,
    "spatiotemporal_attn": SpatiotemporalAttentionCSSM,
    "add_kqv": AdditiveCSSM,
    "add_kqv_2": AdditiveQVCSSM,
    "add_kqv_1": AdditiveSingleCSSM,
    "add_delta": AdditiveDeltaCSSM,
    "conv_ssm": ConvSSMCSSM,
    "convs5": ConvS5CSSM,
    "s4nd": S4NDCSSM,
    "s4nd_full": S4NDFullCSSM,
    "deltanet": DeltaNetCSSM,
    "deltanet_d2": MatrixDeltaNetCSSM,
    "deltanet_d3": MatrixDeltaNetD3CSSM,
    "gdn": GatedDeltaNetCSSM,
    "gdn_d2": GatedDeltaNetD2CSSM,
    "gdn_d3": GatedDeltaNetD3CSSM,
    "gdn_int": GatedDeltaNetSpectralCSSM,
    "gdn_int_elem": GatedDeltaNetElementwiseCSSM,
    "gdn_int_qk": GatedDeltaNetQueryKeyCSSM,
    "gdn_seq": GDNSeqCSSM,
    "mamba2_seq": Mamba2SeqCSSM,
    "g_transformer": GrowingTransformerCSSM,
    "kqv_product": KQVCSSM,
    "linear": LinearCSSM,
    "mg_transformer": MambaGrowingTransformerCSSM,
    "mult_transformer": MultiplicativeTransformerCSSM,
    "linear_opponent": LinearOpponentCSSM,
    "opponent": OpponentCSSM,
    "spectral_transformer": SpectralTransformerCSSM,
    "no_gate_realspace_seq": NoGateRealSpaceSeqCSSM,
    "no_gate_realspace_par": NoGateRealSpaceParallelCSSM,
    "realspace_exact_seq": RealSpaceExactSeqCSSM,
    "realspace_compact_seq": RealSpaceCompactSeqCSSM,
    "direct_conv_assoc": DirectConvAssocCSSM,
    "direct_conv_seq": DirectConvSeqCSSM,
    "direct_conv_parallel": DirectConvParallelCSSM,
}

_SHORT_CONV = ("short_conv_size", "short_conv_spatial_size")
_GATED = (*_SHORT_CONV, "gate_type")
_KQV = ("asymmetric_qk", "no_feedback", "no_spectral_clip", "use_layernorm", "no_k_state", "transformer_readout")
_GROWING = ("use_goom", "position_independent_gates", "shared_kernel", "additive_kv", "spectral_clip")
_DELTANET = ("use_goom", "gate_type", "learned_init", "use_complex32", "use_complex16", "scan_mode", "ssd_chunk_size")
_ADDITIVE = (*_DELTANET, "use_ssd")
_GDN = (
    *_DELTANET,
    "use_log",
    "no_spectral_clamp",
    "position_independent_gates",
    "short_conv_size",
    "use_input_gates",
    "qkv_conv_size",
    "qkv_conv_separable",
    "output_norm",
    "output_gate_act",
    "use_spectral_l2_norm",
    "cross_freq_conv_size",
)
_GDN_ATTENTION = (*_GDN, "delta_key_dim", "attn_kernel_size", "int_attn_dim")
_ATTENTION = ("num_heads", "mlp_ratio", "drop_path_rate")
_S4ND = ("s4nd_d_state", "s4nd_bidirectional")

WRAPPER_FIELDS: dict[str, tuple[str, ...]] = {
    "no_gate": _SHORT_CONV,
    "no_gate_realspace_seq": _SHORT_CONV,
    "no_gate_realspace_par": _SHORT_CONV,
    "realspace_exact_seq": _SHORT_CONV,
    "realspace_compact_seq": _SHORT_CONV,
    "direct_conv_assoc": _SHORT_CONV,
    "direct_conv_seq": _SHORT_CONV,
    "direct_conv_parallel": _SHORT_CONV,
    "gated": _GATED,
    "no_fft": _GATED,
    "hgru_bi": (),
    "transformer": (*_KQV, "position_independent_gates"),
    "kqv": _KQV,
    "mult_transformer": ("use_goom", "position_independent_gates"),
    "g_transformer": _GROWING,
    "mg_transformer": (*_GROWING, "q_temporal", "q_spatial"),
    "spectral_transformer": (),
    # Keys of our own, for layers that the published package names or describes.
    "kqv_product": (),
    "linear": (),
    "linear_opponent": (),
    "opponent": (),
    "add_kqv": _ADDITIVE,
    "add_kqv_2": _ADDITIVE,
    "add_kqv_1": _ADDITIVE,
    "add_delta": _ADDITIVE,
    "deltanet": _DELTANET,
    "deltanet_d2": _DELTANET,
    "deltanet_d3": _DELTANET,
    "gdn": (*_GDN, "delta_key_dim"),
    "gdn_d2": _GDN,
    "gdn_d3": _GDN,
    "gdn_int": _GDN_ATTENTION,
    "gdn_int_elem": _GDN_ATTENTION,
    "gdn_int_qk": _GDN_ATTENTION,
    "spatial_attn": _ATTENTION,
    "spatiotemporal_attn": _ATTENTION,
    "mamba2_seq": ("state_dim", "expand_factor", "ssd_chunk_size", "short_conv_size", "flatten_mode"),
    "gdn_seq": ("delta_key_dim", "short_conv_size", "flatten_mode"),
    "conv_ssm": (),
    "s4nd": _S4ND,
    "s4nd_full": _S4ND,
    "convs5": ("convs5_state_dim", "convs5_num_groups"),
}

_MIXER_NAME = {
    "transformer_readout": "readout_state",
    "s4nd_d_state": "d_state",
    "s4nd_bidirectional": "bidirectional",
    "convs5_state_dim": "state_dim",
    "convs5_num_groups": "num_groups",
}


def mixer_class(key: str) -> type[Mixer]:
    """The layer called `key`.

    Raises:
      ValueError: no mixer has that key; the message lists the keys.
    """
    if key in MIXERS:
        return MIXERS[key]
    raise ValueError(f"cssm_type: got {key!r}, expected one of {', '.join(MIXERS)}")


def mixer_kwargs(key: str, wrapper: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a wrapper's fields that the mixer `key` receives, under the mixer's names."""
    return {_MIXER_NAME.get(field, field): wrapper[field] for field in WRAPPER_FIELDS[key]}


def make_mixer(key: str, wrapper: Mapping[str, Any], *, channels: int, rope_mode: str, name: str) -> Mixer:
    """The mixer `key` with a wrapper's fields, and those of its own named in the wrapper's `mixer_options`.

    Warns:
      UserWarning: `rope_mode` asks for a rotation, and the layer applies none.

    Raises:
      ValueError: as `mixer_class`; or `implementation` is given for a layer that uses no operation of `cssm_kernels`; or
        `mixer_options` names what is not a field of the layer, or one that the wrapper sets.
    """
    cls = mixer_class(key)
    names = {field.name for field in dataclasses.fields(cls)} - {"parent"}
    if wrapper["implementation"] is not None and "implementation" not in names:
        got = wrapper["implementation"]
        raise ValueError(f"implementation: got {got!r}, expected None: {key!r} has no operation of ours")
    fields = {
        "channels": channels,
        "kernel_size": wrapper["kernel_size"],
        "block_size": wrapper["block_size"],
        "rope_mode": rope_mode,
        "dtype": wrapper["dtype"],
        "param_dtype": wrapper["param_dtype"],
        "name": name,
        **mixer_kwargs(key, wrapper),
    }
    if "implementation" in names:
        fields["implementation"] = wrapper["implementation"]
    own = names - fields.keys()
    for option in wrapper["mixer_options"]:
        if option not in own:
            raise ValueError(f"mixer_options: got {option!r}, expected fields of {key!r}: {', '.join(sorted(own))}")
    if rope_mode != "none" and not cls.encodes_positions:
        warnings.warn(f"pos_embed={rope_mode!r} has no effect: {key!r} does not encode positions", stacklevel=2)
    return cls(**fields, **wrapper["mixer_options"])
