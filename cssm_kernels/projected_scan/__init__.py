"""spectral_scan, and a product with one matrix at every pixel of its frames, as one operation."""

from cssm_kernels.projected_scan.op import projected_scan

__all__ = ["projected_scan"]
