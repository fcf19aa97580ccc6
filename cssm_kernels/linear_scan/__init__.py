"""First-order linear recurrence h_t = a_t h_{t-1} + x_t."""

from cssm_kernels.linear_scan.op import linear_scan
from cssm_kernels.linear_scan.sharded import time_sharded_linear_scan

__all__ = ["linear_scan", "time_sharded_linear_scan"]
