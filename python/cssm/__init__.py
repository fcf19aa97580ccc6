"""Spectral state-space models over space and time, as Flax layers."""

from cssm.layers import MIXERS, mixer_class
from cssm.models import BaselineViT, CSSMSHViT, CSSMViT, RecurrentBlock, SimpleCSSM, VideoBlock

__all__ = [
    "MIXERS",
    "BaselineViT",
    "CSSMSHViT",
    "CSSMViT",
    "RecurrentBlock",
    "SimpleCSSM",
    "VideoBlock",
    "mixer_class",
]
