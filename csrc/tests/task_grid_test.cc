// TaskGrid: every lane is in exactly one task, tasks that share a set of sums share no element of it, and sums are cut
// the same way for any number of threads.
#include "common/task_grid.h"

#include <map>
#include <string>
#include <vector>

#include "check.h"
#include "scan_case.h"

namespace cssm::testing {
namespace {

struct GridCase {
  ScanCase scan;
  ScanView view;
  int64_t bytes, sums_bytes;

  TaskGrid grid(int64_t threads) const { return make_task_grid(view, bytes, sums_bytes, threads); }
  std::string describe(int64_t threads) const {
    return scan.describe() + (sums_bytes ? ", summed" : "") + ", " + std::to_string(threads) + " threads";
  }
};

GridCase grid_case(const ScanCase& c, bool wants_sums) {
  const Dims ones(c.shape.size(), 1);
  GridCase g{c, make_scan_view(c.shape, c.axis, c.a, c.x, c.reset.empty() ? ones : c.reset, c.h0.empty() ? ones : c.h0),
             int64_t(element_bytes(c.dtype)), 0};
  if (wants_sums && c.a != c.shape) g.sums_bytes = product(c.a) * (is_complex(c.dtype) ? 16 : 8);
  return g;
}

template <class Body>
void for_each_unit(const TaskGrid& grid, Body&& body) {
  for (int64_t task = 0; task < grid.num_tasks(); ++task) {
    const int64_t set = task % grid.tasks_reduced;
    const Range us = part(grid.num_unique, grid.tasks_unique, task / grid.tasks_reduced);
    const Range rs = part(grid.num_reduced, grid.tasks_reduced, set);
    for (int64_t u = us.begin; u < us.end; ++u) {
      for (int64_t r = rs.begin; r < rs.end; ++r) body(task, set, u, r);
    }
  }
}

void check_cover(const GridCase& g, int64_t threads) {
  const TaskGrid grid = g.grid(threads);
  const int64_t lane_stride = grid.contiguous ? 1 : 0;
  std::vector<int> covered(size_t(g.view.lanes()), 0);
  std::map<std::pair<int64_t, int64_t>, int64_t> task_of;  // (set of sums, offset in a) -> task
  bool ok = true, shared = false;
  for_each_unit(grid, [&](int64_t task, int64_t set, int64_t u, int64_t r) {
    const int64_t length = grid.run_length(u, r);
    const Offsets at = grid.offsets(u, r);
    ok &= length >= 1 && length <= grid.run;
    for (int64_t lane = 0; lane < length; ++lane) {
      const int64_t state = at.at[kState] + lane * lane_stride;
      if (state < 0 || state >= g.view.lanes()) {
        ok = false;
        continue;
      }
      ++covered[size_t(state)];
      if (g.sums_bytes == 0) continue;
      const int64_t a = at.at[kA] + lane * (grid.contiguous ? g.view.dims.back().stride[kA] : 0);
      shared |= task_of.emplace(std::pair(set, a), task).first->second != task;
    }
  });
  for (int count : covered) ok &= count == 1;
  if (!ok) fail("not every lane is covered exactly once: " + g.describe(threads));
  if (shared) fail("two tasks add to one element of one set of sums: " + g.describe(threads));
  // A lane must not move from a whole vector to a remainder as the number of threads changes.
  if (grid.run * g.bytes % 64 != 0 && grid.run != grid.row && grid.contiguous) {
    fail("runs are not whole vectors: " + g.describe(threads));
  }
}

void check_sums_cut(const GridCase& g) {
  if (g.sums_bytes == 0) return;
  const TaskGrid one = g.grid(1);
  for (int64_t threads : {2, 3, 8, 64}) {
    const TaskGrid many = g.grid(threads);
    const bool same_runs = !one.row_reduced || one.run == many.run;
    if (one.tasks_reduced == many.tasks_reduced && one.num_reduced == many.num_reduced && same_runs) continue;
    fail("sums are cut into " + std::to_string(many.tasks_reduced) + " sets, and " + std::to_string(one.tasks_reduced) +
         " for 1 thread: " + g.describe(threads));
  }
}

void random_grids() {
  Random random(1);
  for (int i = 0; i < 600; ++i) {
    const GridCase g = grid_case(random_case(random, 60000), random.chance(0.7));
    for (int64_t threads : {1, 2, 3, 8, 64}) check_cover(g, threads);
    check_sums_cut(g);
  }
}

void parts() {
  for (int64_t size : {0, 1, 5, 64, 1001}) {
    for (int64_t n : {1, 2, 3, 7, 128}) {
      int64_t end = 0;
      bool ok = true;
      for (int64_t i = 0; i < n; ++i) {
        const Range range = part(size, n, i);
        const int64_t length = range.end - range.begin;
        ok &= range.begin == end && length >= size / n && length <= (size + n - 1) / n;
        end = range.end;
      }
      expect(ok && end == size, "parts are not nearly equal, one after the other");
    }
  }
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  test("parts", parts);
  test("600 random grids", random_grids);
  return exit_status();
}
