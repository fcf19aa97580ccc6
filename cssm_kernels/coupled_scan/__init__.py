"""Matrix recurrence h_t = (G_t o K_t) h_{t-1} + b_t x_t, y_t = c_t h_t, whose transition is never formed."""

from cssm_kernels.coupled_scan.op import coupled_scan

__all__ = ["coupled_scan"]
