#include "common/task_grid.h"

#include <algorithm>

namespace cssm {
namespace {

constexpr int64_t kMaxTasks = 128;
constexpr int64_t kMinTaskBytes = 32 << 10;
// Runs are as long as leaves every thread a few tasks: long ones stream best, and their states still fit in L2.
constexpr int64_t kMinRunBytes = 512, kMaxRunBytes = 32 << 10;
constexpr int64_t kTasksPerThread = 2;
constexpr int64_t kReducedRunBytes =
    4096;  // where sums run over lanes or rows: their order must not depend on the threads
constexpr int64_t kMinContiguousBytes = 32;
constexpr int64_t kGatheredLanes = 32;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t count(const std::vector<Dim>& dims) {
  int64_t n = 1;
  for (const Dim& dim : dims) n *= dim.size;
  return n;
}

bool contiguous_rows(const ScanView& view, int64_t element_bytes) {
  if (view.dims.empty()) return false;
  const Dim& lane = view.dims.back();
  return lane.stride[kH] == 1 && lane.stride[kX] == 1 && lane.stride[kA] <= 1 && lane.stride[kReset] == 0 &&
         lane.stride[kH0] <= 1 && lane.size * element_bytes >= kMinContiguousBytes;
}

}  // namespace

int64_t TaskGrid::run_length(int64_t u, int64_t r) const {
  const int64_t block = (row_reduced ? r : u) % ceil_div(row, run);
  return std::min(run, row - block * run);
}

Offsets TaskGrid::offsets(int64_t u, int64_t r) const {
  Offsets sum = offsets_of(unique, u);
  const Offsets more = offsets_of(reduced, r);
  for (int k = 0; k < kNumOperands; ++k) sum.at[k] += more.at[k];
  return sum;
}

Range part(int64_t size, int64_t n, int64_t i) { return {size * i / n, size * (i + 1) / n}; }

TaskGrid make_task_grid(const ScanView& view, int64_t element_bytes, int64_t sums_bytes, int64_t threads) {
  TaskGrid grid{};
  const int64_t bytes = view.steps * view.lanes() * element_bytes;
  std::vector<Dim> dims = view.dims;
  grid.contiguous = contiguous_rows(view, element_bytes);
  grid.run = grid.row = 1;
  if (grid.contiguous) {
    Dim& lane = dims.back();
    grid.row = lane.size;
    grid.row_reduced = lane.stride[kA] == 0 && sums_bytes > 0;
    bool cuts_sums = false;  // a sum over lanes or rows is cut by the run's length
    for (const Dim& dim : dims) cuts_sums = cuts_sums || (dim.stride[kA] == 0 && sums_bytes > 0);
    const int64_t share = view.lanes() * element_bytes / (kTasksPerThread * threads);
    const int64_t run_bytes = cuts_sums ? kReducedRunBytes : std::clamp(share, kMinRunBytes, kMaxRunBytes) / 64 * 64;
    grid.run = std::min(lane.size, run_bytes / element_bytes);
    lane.size = ceil_div(grid.row, grid.run);
    for (int64_t& stride : lane.stride) stride *= grid.run;
  }
  for (const Dim& dim : dims) (dim.stride[kA] == 0 && sums_bytes > 0 ? grid.reduced : grid.unique).push_back(dim);
  grid.num_unique = count(grid.unique);
  grid.num_reduced = count(grid.reduced);

  const int64_t wanted = std::clamp<int64_t>(bytes / kMinTaskBytes, 1, kMaxTasks);
  const int64_t smallest = grid.contiguous ? 1 : kGatheredLanes;
  grid.tasks_unique = std::min(ceil_div(grid.num_unique * std::min(grid.num_reduced, smallest), smallest), wanted);
  grid.tasks_unique = std::min(grid.tasks_unique, grid.num_unique);
  grid.tasks_reduced = 1;
  if (sums_bytes > 0) {
    const int64_t affordable = std::max<int64_t>(bytes / 4, 64 << 10) / sums_bytes;
    grid.tasks_reduced =
        std::clamp<int64_t>(std::min(wanted / grid.tasks_unique, affordable), 1, ceil_div(grid.num_reduced, smallest));
  }
  return grid;
}

}  // namespace cssm
