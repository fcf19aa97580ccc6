"""Fused linear recurrences for JAX.

h = cssm_kernels.linear_scan(a, x)     # h_t = a_t h_{t-1} + x_t along the leading axis
"""

from cssm_kernels._allocator import restart_with_tuned_allocator, tune_host_allocator
from cssm_kernels._native import build_info, export_checks
from cssm_kernels.coupled_scan import coupled_scan
from cssm_kernels.delta_scan import delta_scan
from cssm_kernels.dense import dense
from cssm_kernels.depthwise_conv import depthwise_conv
from cssm_kernels.fft2 import irfft2_cl, rfft2_cl
from cssm_kernels.gated_scan import gated_scan
from cssm_kernels.goom import Goom
from cssm_kernels.goom_scan import goom_matrix_scan, goom_scan
from cssm_kernels.layer_norm import layer_norm
from cssm_kernels.linear_scan import linear_scan, time_sharded_linear_scan
from cssm_kernels.matrix_scan import matrix_scan
from cssm_kernels.projected_scan import projected_filter, projected_scan
from cssm_kernels.spectral_scan import spectral_scan
from cssm_kernels.split_complex import SplitComplex

__version__ = "0.1.0"

__all__ = [
    "Goom",
    "SplitComplex",
    "__version__",
    "build_info",
    "coupled_scan",
    "delta_scan",
    "dense",
    "depthwise_conv",
    "export_checks",
    "gated_scan",
    "goom_matrix_scan",
    "goom_scan",
    "irfft2_cl",
    "layer_norm",
    "linear_scan",
    "matrix_scan",
    "projected_filter",
    "projected_scan",
    "restart_with_tuned_allocator",
    "rfft2_cl",
    "spectral_scan",
    "time_sharded_linear_scan",
    "tune_host_allocator",
]
