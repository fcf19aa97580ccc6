"""Gated linear recurrence h_t = a_t h_{t-1} + b_t x_t, y_t = c_t h_t."""

from cssm_kernels.gated_scan.op import gated_scan

__all__ = ["gated_scan"]
