"""The mixing layers, one file each or a family, and the registry that names them."""

from cssm.layers.additive import AdditiveCSSM, AdditiveDeltaCSSM, AdditiveQVCSSM, AdditiveSingleCSSM
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
from cssm.layers.registry import MIXERS, mixer_class
from cssm.layers.s4nd import S4NDCSSM, S4NDFullCSSM
from cssm.layers.spatial_attn import SpatialAttentionCSSM, SpatiotemporalAttentionCSSM
from cssm.layers.spectral_transformer import SpectralTransformerCSSM
from cssm.layers.transformer import TransformerCSSM

__all__ = [
    "KQVCSSM",
    "MIXERS",
    "S4NDCSSM",
    "AdditiveCSSM",
    "AdditiveDeltaCSSM",
    "AdditiveQVCSSM",
    "AdditiveSingleCSSM",
    "ConvS5CSSM",
    "ConvSSMCSSM",
    "DeltaNetCSSM",
    "DirectConvAssocCSSM",
    "DirectConvParallelCSSM",
    "DirectConvSeqCSSM",
    "GDNSeqCSSM",
    "GatedCSSM",
    "GatedDeltaNetCSSM",
    "GatedDeltaNetD2CSSM",
    "GatedDeltaNetD3CSSM",
    "GatedDeltaNetElementwiseCSSM",
    "GatedDeltaNetQueryKeyCSSM",
    "GatedDeltaNetSpectralCSSM",
    "GrowingTransformerCSSM",
    "HGRUBilinearCSSM",
    "LinearCSSM",
    "LinearOpponentCSSM",
    "Mamba2SeqCSSM",
    "MambaGrowingTransformerCSSM",
    "MatrixDeltaNetCSSM",
    "MatrixDeltaNetD3CSSM",
    "MultiplicativeTransformerCSSM",
    "NoFFTCSSM",
    "NoGateCSSM",
    "NoGateRealSpaceParallelCSSM",
    "NoGateRealSpaceSeqCSSM",
    "OpponentCSSM",
    "RealSpaceCompactSeqCSSM",
    "RealSpaceExactSeqCSSM",
    "S4NDFullCSSM",
    "SpatialAttentionCSSM",
    "SpatiotemporalAttentionCSSM",
    "SpectralTransformerCSSM",
    "TransformerCSSM",
    "mixer_class",
]
