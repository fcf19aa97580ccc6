#include "cpu/ffi.h"

#include <cstdlib>
#include <cstring>

#include "common/memory.h"

namespace cssm {
namespace {

Buffer to_buffer(const ffi::AnyBuffer& buffer) {
  const auto dims = buffer.dimensions();
  return {static_cast<const char*>(buffer.untyped_data()), Dims(dims.begin(), dims.end()), buffer.element_type(),
          buffer.size_bytes()};
}

NativeKernels kernels_of(Isa isa) {
#if defined(CSSM_X86_ISAS)
  if (isa == Isa::kAvx512) {
    return {isa,
            avx512::linear_scan_kernels(),
            avx512::spectral_kernels(),
            avx512::lane_kernels(),
            avx512::depthwise_kernels(),
            avx512::norm_kernels(),
            avx512::dense_kernels()};
  }
  if (isa == Isa::kAvx2) {
    return {isa,
            avx2::linear_scan_kernels(),
            avx2::spectral_kernels(),
            avx2::lane_kernels(),
            avx2::depthwise_kernels(),
            avx2::norm_kernels(),
            avx2::dense_kernels()};
  }
#endif
  return {isa,
          baseline::linear_scan_kernels(),
          baseline::spectral_kernels(),
          baseline::lane_kernels(),
          baseline::depthwise_kernels(),
          baseline::norm_kernels(),
          baseline::dense_kernels()};
}

}  // namespace

const NativeKernels& native_kernels() {
  static const NativeKernels kernels = kernels_of(select_isa());
  return kernels;
}

DType Buffer::dtype() const {
  switch (element) {
    case ffi::DataType::F32: return DType::kF32;
    case ffi::DataType::F64: return DType::kF64;
    case ffi::DataType::C64: return DType::kC64;
    case ffi::DataType::C128: return DType::kC128;
    case ffi::DataType::BF16: return DType::kBF16;
    case ffi::DataType::F16: return DType::kF16;
    default: throw std::invalid_argument("cssm_kernels: unsupported element type in a native call");
  }
}

Buffer Operands::next() {
  auto buffer = args_.get<ffi::AnyBuffer>(i_++);
  if (!buffer.has_value()) throw std::invalid_argument("cssm_kernels: too few operands in a native call");
  return to_buffer(*buffer);
}

Buffer Results::next() {
  static const bool poison = std::getenv("CSSM_KERNELS_POISON_OUTPUTS") != nullptr;
  auto buffer = rets_.get<ffi::AnyBuffer>(i_++);
  if (!buffer.has_value()) throw std::invalid_argument("cssm_kernels: too few results in a native call");
  Buffer result = to_buffer(**buffer);
  advise_huge_pages(result.out(), result.bytes);
  if (poison && !result.empty()) std::memset(result.out(), 0xff, result.bytes);
  return result;
}

void Results::zero_all() {
  for (size_t i = 0; i < rets_.size(); ++i) {
    auto buffer = rets_.get<ffi::AnyBuffer>(i);
    if (buffer.has_value() && (*buffer)->size_bytes() > 0)
      std::memset((*buffer)->untyped_data(), 0, (*buffer)->size_bytes());
  }
}

}  // namespace cssm
