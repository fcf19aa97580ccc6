// Gradients of broadcast operands: added up in double, in an order that depends on shapes alone.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "common/threads.h"
#include "cpu/lane_view.h"

namespace cssm {

// How lanes are cut into tasks: along one dimension of the box. An operand broadcast along it has a set of sums a task,
// any other one set, to different elements of which the tasks add.
struct LaneSplit {
  size_t dim;
  int64_t tasks;
};

class LaneSums {
 public:
  LaneSums() = default;
  LaneSums(const LaneArray& grad, int64_t sets);
  bool empty() const { return !sums_; }
  double* of_task(int64_t task) const { return sums_.get() + (sets_ > 1 ? task * size_ : 0); }
  // Adds the sets up, in their order, into the gradient.
  void write(const LaneArray& grad, ThreadPool& pool) const;

 private:
  int64_t sets_ = 0, size_ = 0;
  std::unique_ptr<double[]> sums_;
};

// The dimension along which the fewest sums need a set for each task. `summed`: slots and the bytes of their sums.
LaneSplit split_lanes(const LaneBox& box, const std::vector<std::pair<int, int64_t>>& summed);

}  // namespace cssm
