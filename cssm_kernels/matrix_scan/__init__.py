"""Linear recurrence of small vectors h_t = A_t h_{t-1} + x_t."""

from cssm_kernels.matrix_scan.op import matrix_scan

__all__ = ["matrix_scan"]
