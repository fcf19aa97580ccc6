"""Generalised orders of magnitude: real and complex numbers kept as their complex logarithms."""

from cssm_kernels.goom.number import Goom

__all__ = ["Goom"]
