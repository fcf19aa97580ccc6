// The inner loops of linear_scan: many steps of a few contiguous runs of lanes. Compiled once per instruction set.
#pragma once

#include <cstdint>

#include "common/dtype.h"

namespace cssm {

// Runs of lanes advanced together. Pointers name the first step taken; `*_step` elements lead to the next (negative
// where time runs backwards). `state` is a row of state scalars per run, kept in cache between steps.
struct ScanBlock {
  int64_t steps;
  int64_t runs;
  const int64_t* lanes;  // length of each run
  const char* const* a;  // one element per lane, or one for the run
  bool a_per_lane;
  int64_t a_step;
  const uint8_t* const* reset;  // null: never; one flag for the run, or one per lane
  bool reset_per_lane;
  int64_t reset_step;
  char* const* state;
};

// h = x if reset else a * state + x; state = h.
struct ForwardBlock : ScanBlock {
  const char* const* x;
  int64_t x_step;
  char* const* h;
  int64_t h_step;
  bool stream;  // h is large: store past the caches
};

enum class GradA : int {
  kNone,
  kStore,     // one element per lane and step, in the storage type
  kAddLanes,  // added to one element per lane, in double
  kAddRun,    // summed over the run, added to one element, in double
};

// Backward, against the forward direction: g = ct + state; dx = g; da += g * h_prev; state = a * g (0 where reset).
struct BackwardBlock : ScanBlock {
  const char* const* ct;  // null: zero
  int64_t ct_step;
  const char* const* h_prev;  // read when grad_a is wanted
  int64_t h_step;
  char* const* dx;
  int64_t dx_step;
  GradA grad_a;
  char* const* da;
  int64_t da_step;
  bool stream;
};

struct LinearScanKernels {
  void (*forward[kNumDTypes])(const ForwardBlock&);
  void (*backward[kNumDTypes])(const BackwardBlock&);
};

namespace baseline {
const LinearScanKernels& linear_scan_kernels();
}
#if defined(CSSM_X86_ISAS)
namespace avx2 {
const LinearScanKernels& linear_scan_kernels();
}
namespace avx512 {
const LinearScanKernels& linear_scan_kernels();
}
#endif

}  // namespace cssm
