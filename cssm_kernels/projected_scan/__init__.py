"""Spectral recurrences and filters, and a product with one matrix at every pixel of their frames, as one operation."""

from cssm_kernels.projected_scan.op import projected_filter, projected_scan

__all__ = ["projected_filter", "projected_scan"]
