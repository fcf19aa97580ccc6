// The inner loops of the depthwise convolution: a window of taps along rows of pixels, channels in the lanes of a
// vector. Compiled once per instruction set.
//
// A pixel is `channels` scalars. Tap l of an output pixel w meets input pixel w + l - offset; input pixels outside
// [0, in_width) are zero. Arrays are in the storage type, kernels, biases and their sums in the type computed in.
#pragma once

#include <cstdint>

#include "common/dtype.h"

namespace cssm {

struct RowWindow {
  int64_t channels;
  int64_t taps, offset;
  int64_t in_width;
  int64_t begin, end;  // output columns
};

// y[w] = bias + sum over rows and taps of kernel * x.
struct ConvolveRow : RowWindow {
  int64_t rows;
  const char* const* x;
  const char* const* kernel;  // of each row, (taps, channels)
  const char* bias;           // null: zero
  char* y;
  bool stream;  // y is large: store past the caches
};

// Pairs of rows that share their taps: sums[l] += sum over pairs and columns of x[w + l - offset] g[w].
struct RowPairs {
  int64_t count;
  const char* const* x;
  const char* const* g;
  double* sums;  // (taps, channels)
};

// Sums in the type computed in run over all columns of all the pairs of one RowPairs: few hundred terms at most,
// please.
struct CorrelateRows : RowWindow {
  int64_t num_pairs;
  const RowPairs* pairs;
  int64_t rows;  // of g, for its own sum
  const char* const* g;
  double* g_sums;  // (channels); null: not wanted
};

struct DepthwiseKernels {
  void (*convolve[kNumDTypes])(const ConvolveRow&);  // null where complex
  void (*correlate[kNumDTypes])(const CorrelateRows&);
  void (*fence)();  // after stores past the caches
};

namespace baseline {
const DepthwiseKernels& depthwise_kernels();
}
#if defined(CSSM_X86_ISAS)
namespace avx2 {
const DepthwiseKernels& depthwise_kernels();
}
namespace avx512 {
const DepthwiseKernels& depthwise_kernels();
}
#endif

}  // namespace cssm
