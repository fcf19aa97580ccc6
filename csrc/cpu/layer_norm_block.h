// The inner loops of the layer norm: channels in the lanes of a vector, a few rows at a time. Compiled once per
// instruction set.
//
//   z = act(x), y = (z - mean z) / sqrt(mean (z - mean z)^2 + eps) * scale + bias, means over the channels of a row
//
// Arrays are in the storage type; scale, bias and their sums in the type computed in.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/dtype.h"

namespace cssm {

enum class Activation : int { kNone, kGelu, kSoftplus, kRelu };  // gelu by its tanh formula
inline constexpr int kNumActivations = 4;

struct NormRows {
  int64_t rows, channels;
  double eps;
  const char* x;
  const char* scale;  // null: ones
  void* scratch;      // norm_scratch_bytes of the direction, aligned to 64
};

struct NormForward : NormRows {
  const char* bias;  // null: zeros
  char* y;
};

struct NormBackward : NormRows {
  const char* ct;
  char* dx;  // null: not wanted
  // (channels), added to: the sums over rows of ct (z - mean z) rsqrt(...), and of ct. Null, both: not wanted.
  double* scale_sums;
  double* bias_sums;
};

// Worked on together. A row's bits must not depend on how rows are cut into tasks: cut at multiples of it.
inline constexpr int64_t kNormRowsAtOnce = 4;
// Rows of scratch, whatever the instruction set.
inline constexpr int64_t kNormForwardScratch = kNormRowsAtOnce, kNormBackwardScratch = 3 * kNormRowsAtOnce + 2;
size_t norm_scratch_bytes(DType dtype, int64_t channels, int64_t scratch_rows);

struct NormKernels {
  void (*forward[kNumDTypes][kNumActivations])(const NormForward&);  // null where complex
  void (*backward[kNumDTypes][kNumActivations])(const NormBackward&);
};

namespace baseline {
const NormKernels& norm_kernels();
}
#if defined(CSSM_X86_ISAS)
namespace avx2 {
const NormKernels& norm_kernels();
}
namespace avx512 {
const NormKernels& norm_kernels();
}
#endif

}  // namespace cssm
