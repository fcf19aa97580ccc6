"""Spectral state-space models over space and time, as Flax layers."""

from cssm.layers import MIXERS, mixer_class
from cssm.models import SimpleCSSM

__all__ = ["MIXERS", "SimpleCSSM", "mixer_class"]
