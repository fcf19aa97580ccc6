// The layer norm over the last dimension, of an activation if one is asked for, and its gradient: layer_norm_block.h
// has the formula.
#pragma once

#include "common/threads.h"
#include "cpu/layer_norm_block.h"

namespace cssm {

struct NormProblem {
  DType dtype;  // of x, y, ct and dx; scale, bias and their gradients are in state_dtype(dtype)
  int64_t rows, channels;
  double eps;
  Activation activation;
};

// scale and bias may be null.
void layer_norm_forward(const NormProblem&, const char* x, const char* scale, const char* bias, char* y,
                        const NormKernels&, ThreadPool&);
// scale may be null, and any gradient that is not wanted. The same bits on any number of threads.
void layer_norm_backward(const NormProblem&, const char* x, const char* scale, const char* ct, char* dx, char* dscale,
                         char* dbias, const NormKernels&, ThreadPool&);

}  // namespace cssm
