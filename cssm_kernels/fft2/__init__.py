"""rfft2 and irfft2 over the middle axes of channels-last frames."""

from cssm_kernels.fft2.op import irfft2_cl, rfft2_cl

__all__ = ["irfft2_cl", "rfft2_cl"]
