"""A product with one matrix at every position."""

from cssm_kernels.dense.op import dense

__all__ = ["dense"]
