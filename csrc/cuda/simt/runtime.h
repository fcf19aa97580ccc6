// What the driver and the handlers use of a GPU's runtime, on the CPU: the twin that tests run. `device/` has the real
// one.
//
// Tests may take a launch over, to run what nvcc makes of the same kernel, and pretend to the size of another GPU.
#pragma once

#include <dlfcn.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "cuda/simt/fibers.h"
#include "xla/ffi/api/ffi.h"

extern "C" {

// An operand, result or scratch of the call.
struct CssmTwinBuffer {
  void* data;
  size_t bytes;
  int writable;
};
// 0 where it has run the kernel.
typedef int (*CssmTwinLaunchHook)(const char* mangled_name, const unsigned grid[3], const unsigned block[3],
                                  size_t shared_bytes, const void* params, size_t params_size,
                                  const CssmTwinBuffer* buffers, size_t buffer_count);
}

namespace cssm::cuda {

struct Stream {
  std::shared_ptr<std::vector<CssmTwinBuffer>> buffers = std::make_shared<std::vector<CssmTwinBuffer>>();
};
using StreamContext = Stream;

struct GpuLimits {
  size_t shared_per_block, shared_per_sm, reserved_per_block;
};
extern GpuLimits pretended_limits;
extern CssmTwinLaunchHook launch_hook;

inline GpuLimits gpu_limits() { return pretended_limits; }

struct ProfilerRange {
  explicit ProfilerRange(const char*) {}
};

inline void note_buffer(const Stream& stream, void* data, size_t bytes, bool writable) {
  stream.buffers->push_back({data, bytes, writable});
}
inline void fill_bytes(const Stream&, void* to, int value, size_t bytes) { std::memset(to, value, bytes); }

template <class Params>
void launch(void (*kernel)(Params), int64_t grid, int block, size_t shared_bytes, const Stream& stream,
            const Params& params) {
  if (launch_hook) {
    Dl_info info;
    if (!dladdr(reinterpret_cast<void*>(kernel), &info) || !info.dli_sname)
      throw std::runtime_error("a nameless kernel");
    const unsigned grid_size[3] = {unsigned(grid), 1, 1}, block_size[3] = {unsigned(block), 1, 1};
    const auto& buffers = *stream.buffers;
    if (launch_hook(info.dli_sname, grid_size, block_size, shared_bytes, &params, sizeof(params), buffers.data(),
                    buffers.size()) == 0)
      return;
  }
  simt::run_grid({unsigned(grid), 1, 1}, {unsigned(block), 1, 1}, shared_bytes, [&] { kernel(params); });
}

}  // namespace cssm::cuda

template <>
struct xla::ffi::CtxDecoding<cssm::cuda::Stream> {
  using Type = cssm::cuda::Stream;
  static std::optional<Type> Decode(const XLA_FFI_Api*, XLA_FFI_ExecutionContext*, DiagnosticEngine&) { return Type(); }
};
