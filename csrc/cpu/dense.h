// Products with one matrix for all rows, and their gradients: dense_block.h has the formula.
#pragma once

#include "common/threads.h"
#include "cpu/dense_block.h"

namespace cssm {

struct DenseProblem {
  DType dtype;  // kF32 or kF64, of all arrays
  int64_t rows, depth, width;
};

// x (rows, depth), w (depth, width), bias (width) or null, minus (rows, width) or null, y (rows, width).
void dense_forward(const DenseProblem&, const char* x, const char* w, const char* bias, const char* minus, char* y,
                   const DenseKernels&, ThreadPool&);
// Any gradient may be null: not wanted. The same bits on any number of threads.
void dense_backward(const DenseProblem&, const char* x, const char* w, const char* ct, char* dx, char* dw, char* dbias,
                    const DenseKernels&, ThreadPool&);

}  // namespace cssm
