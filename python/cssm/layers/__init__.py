"""The mixing layers, one file each, and the registry that names them."""

from cssm.layers.direct_conv import DirectConvAssocCSSM, DirectConvParallelCSSM, DirectConvSeqCSSM
from cssm.layers.no_gate import NoGateCSSM
from cssm.layers.realspace_compact import RealSpaceCompactSeqCSSM
from cssm.layers.realspace_exact import RealSpaceExactSeqCSSM
from cssm.layers.realspace_par import NoGateRealSpaceParallelCSSM
from cssm.layers.realspace_seq import NoGateRealSpaceSeqCSSM
from cssm.layers.registry import MIXERS, mixer_class

__all__ = [
    "MIXERS",
    "DirectConvAssocCSSM",
    "DirectConvParallelCSSM",
    "DirectConvSeqCSSM",
    "NoGateCSSM",
    "NoGateRealSpaceParallelCSSM",
    "NoGateRealSpaceSeqCSSM",
    "RealSpaceCompactSeqCSSM",
    "RealSpaceExactSeqCSSM",
    "mixer_class",
]
