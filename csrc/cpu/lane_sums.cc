#include "cpu/lane_sums.h"

#include <algorithm>

#include "common/half.h"

namespace cssm {
namespace {

// Enough for many cores to share evenly, few enough that a task is worth its start.
constexpr int64_t kMostTasks = 64;
// Of neighbouring lanes in one task.
constexpr int64_t kFewestLanes = 64;
constexpr int64_t kMostPrivateBytes = int64_t{64} << 20;

template <class S, class C>
void write_range(const double* sums, int64_t sets, int64_t size, int64_t begin, int64_t end, const LaneArray& grad) {
  S* const to = reinterpret_cast<S*>(grad.data);
  S* const imaginary = reinterpret_cast<S*>(grad.imaginary);
  for (int64_t i = begin; i < end; ++i) {
    double sum = 0;
    for (int64_t s = 0; s < sets; ++s) sum += sums[s * size + i];
    if (!imaginary) {
      to[i] = narrowed<S>(C(sum));
    } else if (i % 2 == 0) {
      to[i / 2] = narrowed<S>(C(sum));
    } else {
      imaginary[i / 2] = narrowed<S>(C(grad.conjugated ? -sum : sum));
    }
  }
}

}  // namespace

LaneSums::LaneSums(const LaneArray& grad, int64_t sets)
    : sets_(sets), size_(grad.elements() * grad.parts()), sums_(new double[sets * size_]()) {}

void LaneSums::write(const LaneArray& grad, ThreadPool& pool) const {
  constexpr int64_t kChunk = 1 << 14;
  parallel_for(pool, (size_ + kChunk - 1) / kChunk, [&](int64_t chunk) {
    const int64_t begin = chunk * kChunk, end = std::min(size_, begin + kChunk);
    switch (grad.dtype) {
      case DType::kF32:
      case DType::kC64: return write_range<float, float>(sums_.get(), sets_, size_, begin, end, grad);
      case DType::kF64:
      case DType::kC128: return write_range<double, double>(sums_.get(), sets_, size_, begin, end, grad);
      case DType::kBF16: return write_range<BF16Storage, float>(sums_.get(), sets_, size_, begin, end, grad);
      case DType::kF16: return write_range<F16Storage, float>(sums_.get(), sets_, size_, begin, end, grad);
    }
  });
}

LaneSplit split_lanes(const LaneBox& box, const std::vector<std::pair<int, int64_t>>& summed) {
  LaneSplit best{0, 1};
  int64_t best_private = -1;
  for (size_t d = 0; d < box.dims.size(); ++d) {
    int64_t private_bytes = 0;
    for (const auto& [slot, bytes] : summed) {
      if (box.dims[d].stride[slot] == 0) private_bytes += bytes;
    }
    const bool inner = d + 1 == box.dims.size();
    const int64_t extent = inner ? (box.dims[d].size + kFewestLanes - 1) / kFewestLanes : box.dims[d].size;
    int64_t tasks = std::min(extent, kMostTasks);
    if (private_bytes > 0) tasks = std::min(tasks, std::max<int64_t>(2, kMostPrivateBytes / private_bytes));
    const bool enough = std::min<int64_t>(tasks, 16) > std::min<int64_t>(best.tasks, 16);
    const bool as_many = std::min<int64_t>(tasks, 16) == std::min<int64_t>(best.tasks, 16);
    if (best_private < 0 || enough || (as_many && private_bytes < best_private)) {
      best = {d, tasks};
      best_private = private_bytes;
    }
  }
  return best;
}

}  // namespace cssm
