// The Python module: the FFI handlers as capsules, and how it was built.
#include <cuda_runtime.h>
#include <pybind11/pybind11.h>

#include "cuda/events.h"
#include "cuda/profiling.h"
#include "xla/ffi/api/ffi.h"

namespace cssm::cuda {

XLA_FFI_DECLARE_HANDLER_SYMBOL(cssm_cuda_spectral_scan_forward);
XLA_FFI_DECLARE_HANDLER_SYMBOL(cssm_cuda_spectral_scan_backward);
XLA_FFI_DECLARE_HANDLER_SYMBOL(cssm_cuda_record_event);

namespace py = pybind11;

PYBIND11_MODULE(_cuda, m) {
  m.def("handlers", [] {
    const auto capsule = [](auto* handler) {
      return py::capsule(reinterpret_cast<void*>(handler), "xla._CUSTOM_CALL_TARGET");
    };
    py::dict handlers;
    handlers["cssm_cuda_spectral_scan_forward"] = capsule(cssm_cuda_spectral_scan_forward);
    handlers["cssm_cuda_spectral_scan_backward"] = capsule(cssm_cuda_spectral_scan_backward);
    handlers["cssm_cuda_record_event"] = capsule(cssm_cuda_record_event);
    return handlers;
  });
  m.def("build_info", [] {
    py::dict info;
    info["cuda"] = CUDART_VERSION;
    info["architectures"] = CSSM_CUDA_ARCHITECTURES;
    return info;
  });
  m.def("elapsed_ms", &elapsed_ms, py::arg("first"), py::arg("last"), py::call_guard<py::gil_scoped_release>());
  m.def("profiler_start", &profiler_start);
  m.def("profiler_stop", &profiler_stop);
  m.def("range_push", &range_push, py::arg("name"));
  m.def("range_pop", &range_pop);
}

}  // namespace cssm::cuda
