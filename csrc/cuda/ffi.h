// What the FFI handlers share: buffers in order, errors as XLA statuses, and a name on the profiler's timeline.
#pragma once

#include <cstdlib>
#include <exception>
#include <stdexcept>

#include "common/dtype.h"
#include "common/scan_view.h"
#include "runtime.h"
#include "xla/ffi/api/ffi.h"

namespace cssm::cuda {

namespace ffi = xla::ffi;

struct Buffer {
  void* data;
  Dims dims;
  ffi::DataType element;
  size_t bytes;

  int64_t from_end(size_t i) const { return dims[dims.size() - i]; }
  DType frame_dtype() const {
    switch (element) {
      case ffi::DataType::F32: return DType::kF32;
      case ffi::DataType::F64: return DType::kF64;
      case ffi::DataType::BF16: return DType::kBF16;
      case ffi::DataType::F16: return DType::kF16;
      default: throw std::invalid_argument("cssm_kernels: unsupported element type in a native call");
    }
  }
};

// A call's operands and results, taken one after the other. Throws when there are too few.
class Call {
 public:
  Call(Stream stream, ffi::RemainingArgs& args, ffi::RemainingRets& rets) : stream(stream), args_(args), rets_(rets) {}

  const Stream stream;

  Buffer operand() {
    const auto buffer = args_.get<ffi::AnyBuffer>(next_operand_++);
    if (!buffer.has_value()) throw std::invalid_argument("cssm_kernels: too few operands in a native call");
    return noted(*buffer, false);
  }
  // With CSSM_KERNELS_POISON_OUTPUTS set, filled with NaN: an element never written cannot pass in tests.
  Buffer result() {
    static const bool poison = std::getenv("CSSM_KERNELS_POISON_OUTPUTS") != nullptr;
    auto buffer = rets_.get<ffi::AnyBuffer>(next_result_++);
    if (!buffer.has_value()) throw std::invalid_argument("cssm_kernels: too few results in a native call");
    const Buffer result = noted(**buffer, true);
    if (poison && result.bytes) fill_bytes(stream, result.data, 0xff, result.bytes);
    return result;
  }
  void zero_results() {
    for (size_t i = 0; i < rets_.size(); ++i) {
      auto buffer = rets_.get<ffi::AnyBuffer>(i);
      if (buffer.has_value() && (*buffer)->size_bytes()) {
        fill_bytes(stream, (*buffer)->untyped_data(), 0, (*buffer)->size_bytes());
      }
    }
  }

 private:
  Buffer noted(const ffi::AnyBuffer& buffer, bool writable) {
    const auto dims = buffer.dimensions();
    note_buffer(stream, buffer.untyped_data(), buffer.size_bytes(), writable);
    return {buffer.untyped_data(), Dims(dims.begin(), dims.end()), buffer.element_type(), buffer.size_bytes()};
  }

  ffi::RemainingArgs& args_;
  ffi::RemainingRets& rets_;
  size_t next_operand_ = 0, next_result_ = 0;
};

template <class Body>
ffi::Error guarded(const char* name, const Body& body) {
  const ProfilerRange range(name);
  try {
    body();
    return ffi::Error::Success();
  } catch (const std::exception& error) {
    return ffi::Error::Internal(error.what());
  }
}

}  // namespace cssm::cuda
