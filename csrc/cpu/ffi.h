// What the FFI handlers share: buffers in order, errors as XLA statuses, XLA's thread pool, and the kernels of this
// machine.
#pragma once

#include <exception>
#include <functional>
#include <stdexcept>
#include <utility>

#include "common/dtype.h"
#include "common/isa.h"
#include "common/scan_view.h"
#include "common/threads.h"
#include "cpu/dense_block.h"
#include "cpu/depthwise_conv_block.h"
#include "cpu/lane_kernels.h"
#include "cpu/layer_norm_block.h"
#include "cpu/linear_scan_block.h"
#include "cpu/spectral_block.h"
#include "xla/ffi/api/ffi.h"

namespace cssm {

namespace ffi = xla::ffi;

struct NativeKernels {
  Isa isa;
  const LinearScanKernels& linear_scan;
  const SpectralKernels& spectral;
  const LaneKernels& lanes;
  const DepthwiseKernels& depthwise;
  const NormKernels& norm;
  const DenseKernels& dense;
};
// Chosen once, when the library is loaded.
const NativeKernels& native_kernels();

struct Buffer {
  const char* data;
  Dims dims;
  ffi::DataType element;
  size_t bytes;

  DType dtype() const;
  bool empty() const { return bytes == 0; }
  char* out() const { return const_cast<char*>(data); }
};

// Arguments, or results, of a call, taken one after the other. Throws when there are too few.
class Operands {
 public:
  explicit Operands(ffi::RemainingArgs& args) : args_(args) {}
  Buffer next();

 private:
  ffi::RemainingArgs& args_;
  size_t i_ = 0;
};

// With CSSM_KERNELS_POISON_OUTPUTS set, each result is filled with NaN before the kernel runs: tests set it, so that an
// element never written cannot pass as a leftover of the right value.
class Results {
 public:
  explicit Results(ffi::RemainingRets& rets) : rets_(rets) {}
  Buffer next();
  void zero_all();

 private:
  ffi::RemainingRets& rets_;
  size_t i_ = 0;
};

class XlaThreadPool final : public ThreadPool {
 public:
  explicit XlaThreadPool(ffi::ThreadPool& pool) : pool_(pool) {}
  int64_t num_threads() override { return pool_.num_threads(); }
  void schedule(std::function<void()> task) override { pool_.Schedule(std::move(task)); }

 private:
  ffi::ThreadPool& pool_;
};

template <class Body>
ffi::Error guarded(Body&& body) {
  try {
    body();
    return ffi::Error::Success();
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  }
}

}  // namespace cssm
