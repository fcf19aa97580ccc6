"""rfft2, a linear recurrence over time and irfft2, as one operation."""

from cssm_kernels.spectral_scan.op import spectral_scan

__all__ = ["spectral_scan"]
