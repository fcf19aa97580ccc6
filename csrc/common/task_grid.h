// How the lanes of a recurrence are cut into units, and units into tasks. Where a sum runs over units or tasks the cut
// is a function of shapes alone, never of the number of threads, so that results are bitwise the same on every run.
#pragma once

#include <cstdint>
#include <vector>

#include "common/scan_view.h"

namespace cssm {

// A unit is a run of neighbouring lanes. Units are numbered (u, r): u over the dimensions in which `a` varies
// ("unique"), r over those in which it is broadcast and its gradient is summed ("reduced"). A task is a range of u by a
// range of r.
struct TaskGrid {
  bool contiguous;  // runs are contiguous in memory; otherwise a unit is a single lane, gathered
  int64_t run;      // lanes in a unit; the last of a row may be shorter
  int64_t row;      // lanes in a row, a whole number of units but for the last
  bool row_reduced;
  std::vector<Dim> unique, reduced;
  int64_t num_unique, num_reduced;
  int64_t tasks_unique, tasks_reduced;

  int64_t num_tasks() const { return tasks_unique * tasks_reduced; }
  int64_t run_length(int64_t u, int64_t r) const;
  Offsets offsets(int64_t u, int64_t r) const;
};

struct Range {
  int64_t begin, end;
};
// Part i of n nearly equal parts of [0, size).
Range part(int64_t size, int64_t n, int64_t i);

// `sums_bytes`: size of one task's sums of da (0 if da is stored, or not wanted).
TaskGrid make_task_grid(const ScanView& view, int64_t element_bytes, int64_t sums_bytes, int64_t threads);

}  // namespace cssm
