// Sums that tasks made in double, a set each, added up in the order of the tasks.
#pragma once

#include <cstdint>

#include "common/dtype.h"

namespace cssm {

namespace internal {
template <class C>
void write_part_sums(const double* sums, int64_t parts, int64_t stride, int64_t size, char* to) {
  for (int64_t i = 0; i < size; ++i) {
    double sum = 0;
    for (int64_t part = 0; part < parts; ++part) sum += sums[part * stride + i];
    reinterpret_cast<C*>(to)[i] = C(sum);
  }
}
}  // namespace internal

// `parts` sets, `stride` apart, of `size` sums, to real numbers of this type.
inline void write_part_sums(const double* sums, int64_t parts, int64_t stride, int64_t size, DType dtype, char* to) {
  const auto write = dtype == DType::kF64 ? internal::write_part_sums<double> : internal::write_part_sums<float>;
  write(sums, parts, stride, size, to);
}

}  // namespace cssm
