// What the driver and the handlers use of the CUDA runtime. `simt/` has a file of this name for the CPU.
#pragma once

#include <cuda_runtime.h>
#include <nvtx3/nvToolsExt.h>

#include <stdexcept>
#include <string>

#include "xla/ffi/api/ffi.h"

namespace cssm::cuda {

using Stream = cudaStream_t;
using StreamContext = xla::ffi::PlatformStream<cudaStream_t>;

inline void check(cudaError_t error, const char* doing) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string("cssm_kernels: ") + doing + ": " + cudaGetErrorString(error));
  }
}

struct GpuLimits {
  size_t shared_per_block, shared_per_sm, reserved_per_block;
};

inline GpuLimits gpu_limits() {
  int device = 0, per_block = 0, per_sm = 0, reserved = 0;
  check(cudaGetDevice(&device), "finding the device");
  check(cudaDeviceGetAttribute(&per_block, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "reading its limits");
  check(cudaDeviceGetAttribute(&per_sm, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device), "reading its limits");
  check(cudaDeviceGetAttribute(&reserved, cudaDevAttrReservedSharedMemoryPerBlock, device), "reading its limits");
  return {size_t(per_block), size_t(per_sm), size_t(reserved)};
}

class ProfilerRange {
 public:
  explicit ProfilerRange(const char* name) { nvtxRangePushA(name); }
  ~ProfilerRange() { nvtxRangePop(); }
  ProfilerRange(const ProfilerRange&) = delete;
};

inline void note_buffer(Stream, void*, size_t, bool) {}
inline void fill_bytes(Stream stream, void* to, int value, size_t bytes) {
  check(cudaMemsetAsync(to, value, bytes, stream), "filling a result");
}

template <class Params>
void launch(void (*kernel)(Params), int64_t grid, int block, size_t shared_bytes, Stream stream, Params params) {
  const void* const function = reinterpret_cast<const void*>(kernel);
  // Beyond 48 KiB only on demand.
  check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes)),
        "asking for shared memory");
  void* arguments[] = {&params};
  check(cudaLaunchKernel(function, dim3(unsigned(grid)), dim3(unsigned(block)), arguments, shared_bytes, stream),
        "launching a kernel");
}

}  // namespace cssm::cuda
