// h_t = x_t if reset_t else a_t h_{t-1} + x_t over one axis of broadcast arrays, and its backward pass.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/scan_view.h"
#include "common/threads.h"
#include "cpu/linear_scan_block.h"

namespace cssm {

// All operands are row-major, of one rank, each dimension full or 1; h0 and the final state have size 1 on `axis` and
// the state's dtype. Absent operands are null with dims of ones. There is at least one step.
struct LinearScanProblem {
  DType dtype;
  Dims shape;  // of h
  int64_t axis;
  bool reverse;
  const char* a;
  Dims a_dims;
  const uint8_t* reset;
  Dims reset_dims;
  const char* h0;
  Dims h0_dims;
};

struct LinearScanForward {
  const char* x;
  Dims x_dims;
  char* h;
  char* final_state;
};

// ct and dx have the full shape; ct_final and dh0 the full shape of the state. ct, ct_final, dh0 may be null, and da
// too: then h is not read.
struct LinearScanBackward {
  const char* h;
  const char* ct;
  const char* ct_final;
  char* da;  // of a's dims
  char* dx;
  char* dh0;
};

void linear_scan_forward(const LinearScanProblem&, const LinearScanForward&, const LinearScanKernels&, ThreadPool&);
void linear_scan_backward(const LinearScanProblem&, const LinearScanBackward&, const LinearScanKernels&, ThreadPool&);

}  // namespace cssm
