// What the two ways of running a task of linear_scan share: the view, the grid, and how an operand is walked in time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "common/half.h"
#include "common/task_grid.h"
#include "cpu/linear_scan.h"

namespace cssm {

template <class S_, class C_, int kParts_, DType kDType_>
struct Number {
  using S = S_;  // storage scalar
  using C = C_;  // scalar computed with, and carried
  static constexpr int kParts = kParts_;
  static constexpr DType kDType = kDType_;
  static constexpr int64_t kElementBytes = sizeof(S) * kParts;
  static constexpr int64_t kStateBytes = sizeof(C) * kParts;
  static constexpr int64_t kSumBytes = sizeof(double) * kParts;
};

// Where an operand's time starts in memory, in elements, and the step to the next.
struct Walk {
  int64_t start, step;
};

struct ScanContext {
  const LinearScanProblem& problem;
  const LinearScanKernels& kernels;
  ScanView view;
  TaskGrid grid;
  bool stream;  // outputs outgrow the caches

  Walk walk(Operand operand, bool down) const {
    const int64_t stride = view.time_stride[operand];
    return down ? Walk{(view.steps - 1) * stride, -stride} : Walk{0, stride};
  }
  Walk along(Operand operand) const { return walk(operand, problem.reverse); }
  Walk against(Operand operand) const { return walk(operand, !problem.reverse); }

  // Calls body(u, r) over the units of a task.
  template <class Body>
  void for_units(int64_t task, Body&& body) const {
    const Range us = part(grid.num_unique, grid.tasks_unique, task / grid.tasks_reduced);
    const Range rs = part(grid.num_reduced, grid.tasks_reduced, task % grid.tasks_reduced);
    for (int64_t u = us.begin; u < us.end; ++u) {
      for (int64_t r = rs.begin; r < rs.end; ++r) body(u, r);
    }
  }
};

}  // namespace cssm
