// Two rows of pixels of a channel between global memory and registers, as the parts of one row of complex numbers.
#pragma once

#include <cstdint>

#include "cuda/complex.h"
#include "cuda/spectral_params.h"
#include "storage.h"

namespace cssm::cuda {

// Elements from the first pixel of the frames, from a pixel to the next, and from the one row to the other.
struct RowPair {
  int64_t first, pixel, second;
};

// Both half-precision types are moved by one loop and converted by another: of each the compiler makes W instructions.
template <int W>
__device__ __forceinline__ void load_half_rows(const void* frames, const RowPair& at, bool is_bf16,
                                               Complex<float> (&rows)[W]) {
  const uint16_t* const pixels = static_cast<const uint16_t*>(frames) + at.first;
  uint32_t first[W], second[W];
#pragma unroll
  for (int w = 0; w < W; ++w) {
    first[w] = pixels[w * at.pixel];
    second[w] = pixels[w * at.pixel + at.second];
  }
  if (is_bf16) {
#pragma unroll
    for (int w = 0; w < W; ++w) rows[w] = {from_bf16(first[w]), from_bf16(second[w])};
  } else {
#pragma unroll
    for (int w = 0; w < W; ++w) rows[w] = {from_f16(first[w]), from_f16(second[w])};
  }
}

template <class Real, int W>
__device__ __forceinline__ void load_rows(const void* frames, const RowPair& at, Storage storage,
                                          Complex<Real> (&rows)[W]) {
  if constexpr (sizeof(Real) == 4) {
    if (storage != Storage::kAsComputed) return load_half_rows(frames, at, storage == Storage::kBF16, rows);
  }
  const Real* const pixels = static_cast<const Real*>(frames) + at.first;
#pragma unroll
  for (int w = 0; w < W; ++w) rows[w] = {pixels[w * at.pixel], pixels[w * at.pixel + at.second]};
}

template <int W>
__device__ __forceinline__ void store_half_rows(const Complex<float> (&rows)[W], const RowPair& at, bool is_bf16,
                                                bool has_second, void* frames) {
  uint32_t first[W], second[W];
  if (is_bf16) {
#pragma unroll
    for (int w = 0; w < W; ++w) first[w] = to_bf16(rows[w].re), second[w] = to_bf16(rows[w].im);
  } else {
#pragma unroll
    for (int w = 0; w < W; ++w) first[w] = to_f16(rows[w].re), second[w] = to_f16(rows[w].im);
  }
  uint16_t* const pixels = static_cast<uint16_t*>(frames) + at.first;
#pragma unroll
  for (int w = 0; w < W; ++w) {
    pixels[w * at.pixel] = uint16_t(first[w]);
    if (has_second) pixels[w * at.pixel + at.second] = uint16_t(second[w]);
  }
}

template <class Real, int W>
__device__ __forceinline__ void store_rows(const Complex<Real> (&rows)[W], const RowPair& at, Storage storage,
                                           bool has_second, void* frames) {
  if constexpr (sizeof(Real) == 4) {
    if (storage != Storage::kAsComputed) {
      return store_half_rows(rows, at, storage == Storage::kBF16, has_second, frames);
    }
  }
  Real* const pixels = static_cast<Real*>(frames) + at.first;
#pragma unroll
  for (int w = 0; w < W; ++w) {
    pixels[w * at.pixel] = rows[w].re;
    if (has_second) pixels[w * at.pixel + at.second] = rows[w].im;
  }
}

}  // namespace cssm::cuda
