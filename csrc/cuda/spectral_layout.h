// Sizes that the kernels and those who launch them agree on.
#pragma once

#include <cstdint>

#include "runtime_keywords.h"

namespace cssm::cuda {

inline constexpr int kMostThreads = 160;  // a column each, at 32x32 with a group of 8
inline constexpr int kSumThreads = 128;

// Spectra are twice the size they have in global memory, which is what splitting two rows gives.
inline constexpr int kSpectrumScale = 2;

__host__ __device__ constexpr int spectrum_columns(int width) { return width / 2 + 1; }

// Complex numbers from a row of z to the next: the rows of two neighbouring threads fall into different banks.
__host__ __device__ constexpr int row_pitch(int columns, int group) { return columns * group + group / 2; }

}  // namespace cssm::cuda
