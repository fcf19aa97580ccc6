// Recurrences whose state is never written: gated_scan, matrix_scan, delta_scan, forward and backward, over one axis of
// broadcast arrays. The maths of each is in its kernels; here is what they share.
#pragma once

#include "common/threads.h"
#include "cpu/lane_view.h"

namespace cssm {

// Operands of the lanes' rank, each dimension full or 1. There is at least one step and one lane. Where y is in two
// planes, so are its cotangent and all complex inputs; the states are not.
struct LaneScanProblem {
  LaneOp op;
  int option;
  DType dtype;  // of y, or of its numbers if it is in planes
  Dims shape;   // of the lanes, time among them
  int64_t axis;
  bool reverse;
  int64_t sizes[2];
  int64_t state_rows, state_columns;  // components of the state
  LaneArray in[kMaxLaneInputs];
  LaneArray h0;     // in the state's dtype; one step
  LaneArray reset;  // bytes
};

struct LaneScanForward {
  LaneArray y, final_state;
};

// Cotangents may be absent. A gradient that is wanted has data and its operand's layout. Cotangents pair without a
// conjugate, ct y, and so planes of their own, ct_re y_re + ct_im y_im, are those of the conjugate.
struct LaneScanBackward {
  LaneArray ct, ct_final;
  LaneArray grad[kMaxLaneInputs];
  LaneArray dh0;
};

void lane_scan_forward(const LaneScanProblem&, const LaneScanForward&, const LaneKernels&, ThreadPool&);
void lane_scan_backward(const LaneScanProblem&, const LaneScanBackward&, const LaneKernels&, ThreadPool&);

}  // namespace cssm
