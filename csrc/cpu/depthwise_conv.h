// Depthwise convolution over time, height and width of channels-last videos, and the correlation that is its transpose.
//
//   convolve:   y[p] = bias + sum_i kernel[i] x[p + i - offset]
//   correlate:  dkernel[i] = sum_p x[p + i - offset] g[p],  dbias = sum_p g[p]
//
// p over (time, height, width) of y, or of g; i over the window; x is zero outside itself. Every array is row-major,
// (batch..., time, height, width, channels); kernels are (batch..., window..., channels), biases (batch..., channels).
#pragma once

#include <array>
#include <cstdint>

#include "common/dtype.h"
#include "common/scan_view.h"
#include "common/threads.h"
#include "cpu/depthwise_conv_block.h"

namespace cssm {

using Frame = std::array<int64_t, 3>;  // time, height, width

struct DepthwiseProblem {
  DType dtype;  // of x, y and g; kernels, biases and their gradients are in state_dtype(dtype)
  int64_t channels;
  Frame in, out, window, offset;  // `in` of x, `out` of y or g
  // Batch dimensions, each full or 1. Gradients sum over those in which `kernel` and `bias` are 1, and have one
  // kernel's and one bias's batch; an absent bias has all ones.
  Dims x_batch, out_batch, kernel_batch, bias_batch;
};

// bias may be null.
void depthwise_convolve(const DepthwiseProblem&, const char* x, const char* kernel, const char* bias, char* y,
                        const DepthwiseKernels&, ThreadPool&);
// dbias may be null. bias_batch is that of the kernel.
void depthwise_correlate(const DepthwiseProblem&, const char* x, const char* g, char* dkernel, char* dbias,
                         const DepthwiseKernels&, ThreadPool&);

}  // namespace cssm
