// The element types a recurrence takes. The state is carried in `state_scalar_bytes` wide scalars.
#pragma once

#include <cstddef>

namespace cssm {

enum class DType : int { kF32, kF64, kC64, kC128, kBF16, kF16 };
inline constexpr int kNumDTypes = 6;

inline constexpr bool is_complex(DType t) { return t == DType::kC64 || t == DType::kC128; }
inline constexpr bool is_half(DType t) { return t == DType::kBF16 || t == DType::kF16; }
inline constexpr DType state_dtype(DType t) { return is_half(t) ? DType::kF32 : t; }
inline constexpr size_t element_bytes(DType t) {
  switch (t) {
    case DType::kF32: return 4;
    case DType::kF64: return 8;
    case DType::kC64: return 8;
    case DType::kC128: return 16;
    default: return 2;
  }
}

}  // namespace cssm
