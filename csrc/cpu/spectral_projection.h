// What follows a spectral scan where a layer projects its frames, pixel by pixel as they leave the inverse transform:
//
//   o = s W + b - x;  of the gradients, ds = ct W^T, dW = sum of s^T ct, db = sum of ct, and dx has -ct besides
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/workspace.h"
#include "cpu/dense_block.h"

namespace cssm {

// W (channels, width), b (width) or null, in the precision of the state. minus_x: less x, of as many channels.
struct SpectralProjection {
  int64_t width;
  bool minus_x;
  const char* w;
  const char* bias;
  const DenseKernels& kernels;
};

// The products of a projection; W is laid out by the thread that makes it, for all. Pixels are in the precision of the
// state.
class ProjectedPixels {
 public:
  enum Direction { kOut, kBack };  // by W, or by its transpose
  ProjectedPixels(const SpectralProjection& p, DType dtype, int64_t channels, Direction direction)
      : width(p.width),
        kernels_(dtype == DType::kF64 ? p.kernels.f64 : p.kernels.f32),
        element_(int64_t(element_bytes(dtype))),
        channels_(channels) {
    const DenseMatrix out{channels, width, p.w, width, 1, p.bias}, back{width, channels, p.w, 1, width, nullptr};
    const DenseMatrix& m = direction == kOut ? out : back;
    char* const packed =
        workspace(Purpose::kMatrix).template get<char>(kernels_.packed_size(m.depth, m.width) * element_);
    kernels_.pack(m, packed);
    packed_ = packed;
  }

  const int64_t width;

  // Of a pixel of o.
  int64_t pixel_bytes() const { return width * element_; }
  int64_t num_sums() const { return (channels_ + 1) * width; }

  // o, less `minus` where it is not null.
  void out(int64_t pixels, const char* s, const char* minus, char* o, bool stream) const {
    kernels_.rows({pixels, channels_, width, s, packed_, minus, o, stream});
  }
  void back(int64_t pixels, const char* ct, char* ds) const {
    kernels_.rows({pixels, width, channels_, ct, packed_, nullptr, ds, false});
  }
  // dx, of what has come back through the scan.
  void subtract(int64_t pixels, const char* p, const char* ct, char* dx, bool stream) const {
    kernels_.subtract(pixels * channels_, p, ct, dx, stream);
  }
  // Adds to the sums of dW, then of db.
  void sum(int64_t pixels, const char* s, const char* ct, double* sums) const {
    constexpr int64_t kSummed = 256;  // run in the type computed in before they are added to those in double
    for (int64_t first = 0; first < pixels; first += kSummed) {
      const int64_t count = pixels - first < kSummed ? pixels - first : kSummed;
      kernels_.sums({count, channels_, width, s + first * channels_ * element_, ct + first * pixel_bytes(), sums,
                     sums + channels_ * width});
    }
  }

 private:
  const DenseKernelsOf& kernels_;
  const int64_t element_, channels_;
  const void* packed_;
};

}  // namespace cssm
