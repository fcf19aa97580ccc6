"""Models built of the layers."""

from cssm.models.simple import SimpleCSSM

__all__ = ["SimpleCSSM"]
