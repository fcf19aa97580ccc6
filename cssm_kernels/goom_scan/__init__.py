"""Linear recurrences on complex logarithms: of numbers, and of vectors under k x k matrices."""

from cssm_kernels.goom_scan.op import goom_matrix_scan, goom_scan

__all__ = ["goom_matrix_scan", "goom_scan"]
