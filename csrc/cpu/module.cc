// The Python module: FFI handlers as capsules, and what the build and this machine are.
#include <pybind11/pybind11.h>

#include <string>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "cpu/ffi.h"

namespace cssm {

XLA_FFI_DECLARE_HANDLER_SYMBOL(linear_scan_forward_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(linear_scan_backward_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(spectral_scan_forward_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(spectral_scan_backward_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(projected_scan_forward_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(projected_scan_backward_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(lane_scan_forward_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(lane_scan_backward_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(dense_forward_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(dense_backward_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(depthwise_convolve_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(depthwise_correlate_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(layer_norm_forward_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(layer_norm_backward_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(rfft2_cpu);
XLA_FFI_DECLARE_HANDLER_SYMBOL(irfft2_cpu);

namespace py = pybind11;

namespace {

// Map nothing, trim nothing, one heap.
bool tune_host_allocator() {
#if defined(__GLIBC__)
  return mallopt(M_MMAP_MAX, 0) == 1 && mallopt(M_TRIM_THRESHOLD, -1) == 1 && mallopt(M_ARENA_MAX, 1) == 1;
#else
  return false;
#endif
}

}  // namespace

PYBIND11_MODULE(_cpu, m) {
  native_kernels();  // a bad CSSM_KERNELS_ISA fails the import

  m.def("handlers", [] {
    const auto capsule = [](auto* handler) {
      return py::capsule(reinterpret_cast<void*>(handler), "xla._CUSTOM_CALL_TARGET");
    };
    py::dict handlers;
    handlers["cssm_linear_scan_forward"] = capsule(linear_scan_forward_cpu);
    handlers["cssm_linear_scan_backward"] = capsule(linear_scan_backward_cpu);
    handlers["cssm_spectral_scan_forward"] = capsule(spectral_scan_forward_cpu);
    handlers["cssm_spectral_scan_backward"] = capsule(spectral_scan_backward_cpu);
    handlers["cssm_projected_scan_forward"] = capsule(projected_scan_forward_cpu);
    handlers["cssm_projected_scan_backward"] = capsule(projected_scan_backward_cpu);
    handlers["cssm_lane_scan_forward"] = capsule(lane_scan_forward_cpu);
    handlers["cssm_lane_scan_backward"] = capsule(lane_scan_backward_cpu);
    handlers["cssm_dense_forward"] = capsule(dense_forward_cpu);
    handlers["cssm_dense_backward"] = capsule(dense_backward_cpu);
    handlers["cssm_depthwise_convolve"] = capsule(depthwise_convolve_cpu);
    handlers["cssm_depthwise_correlate"] = capsule(depthwise_correlate_cpu);
    handlers["cssm_layer_norm_forward"] = capsule(layer_norm_forward_cpu);
    handlers["cssm_layer_norm_backward"] = capsule(layer_norm_backward_cpu);
    handlers["cssm_rfft2"] = capsule(rfft2_cpu);
    handlers["cssm_irfft2"] = capsule(irfft2_cpu);
    return handlers;
  });
  m.def("tune_host_allocator", tune_host_allocator);
  m.def("build_info", [] {
    py::dict info;
    info["isa"] = isa_name(native_kernels().isa);
    info["compiler"] = CSSM_COMPILER;
    info["build_type"] = CSSM_BUILD_TYPE;
    info["xla_ffi_api"] = std::to_string(XLA_FFI_API_MAJOR) + "." + std::to_string(XLA_FFI_API_MINOR);
    return info;
  });
}

}  // namespace cssm
