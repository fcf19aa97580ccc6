// The arrays of a recurrence over lanes, and how the lanes are cut: into boxes, one a task, and blocks of lanes that
// are worked on together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/dtype.h"
#include "common/scan_view.h"
#include "cpu/lane_kernels.h"

namespace cssm {

// An array in memory; strides are in elements, 0 where it is broadcast. Absent: no data, nothing but ones.
struct LaneArray {
  char* data = nullptr;
  DType dtype = DType::kF32;
  // A complex array in two real ones: its imaginary parts, or their opposites.
  char* imaginary = nullptr;
  bool conjugated = false;
  Dims dims, strides;                                                // of the lanes' dimensions, time among them
  int64_t rows = 1, columns = 1, row_stride = 0, column_stride = 0;  // components

  int64_t elements() const;
  int parts() const { return is_complex(dtype) || imaginary ? 2 : 1; }
};

// A row-major array of `lane_rank` dimensions of lanes, then at most two of components. Dimension `row_axis` of the
// lanes, if not negative, is one of components instead.
LaneArray lane_array(const char* data, DType dtype, const Dims& dims, int64_t lane_rank, int64_t row_axis);

enum LaneSlot : int { kInputs = 0, kResetSlot = kMaxLaneInputs, kH0Slot, kYSlot, kFinalSlot, kNumLaneSlots };

struct LaneDim {
  int64_t size;
  int64_t stride[kNumLaneSlots];
};

// Lanes of a product of ranges; a lane's element in each array lies at `base` plus its strides.
struct LaneBox {
  std::vector<LaneDim> dims;  // outermost first
  int64_t base[kNumLaneSlots] = {};

  int64_t inner() const { return dims.empty() ? 1 : dims.back().size; }
  int64_t rows() const;  // of `inner()` lanes
  int64_t inner_stride(int slot) const { return dims.empty() ? 0 : dims.back().stride[slot]; }
  // The part [begin, end) of a dimension.
  LaneBox part(size_t dim, int64_t begin, int64_t end) const;
};

// Neighbouring dimensions that every array steps through alike are one.
LaneBox make_lane_box(const Dims& shape, int64_t axis, const LaneArray* const (&arrays)[kNumLaneSlots]);

// Blocks are worked on in groups of lanes: whole vectors of every instruction set, and whole cache lines.
inline constexpr int64_t kLaneGroup = 16;
inline int64_t whole_groups(int64_t lanes) { return (lanes + kLaneGroup - 1) / kLaneGroup * kLaneGroup; }

// Lanes next to one another along the innermost dimension, and where they lie in a block.
struct LaneRun {
  int64_t begin, lanes;
  int64_t at[kNumLaneSlots];
};

// Cuts a box into blocks of at most `most` lanes: parts of a long row, or several short rows.
class LaneBlocks {
 public:
  LaneBlocks(const LaneBox& box, int64_t most);
  int64_t count() const { return parts_ * groups_; }
  int64_t lanes() const { return part_lanes_ * std::min(group_rows_, box_.rows()); }  // of a block, at most
  void runs(int64_t block, std::vector<LaneRun>& into) const;

 private:
  const LaneBox& box_;
  int64_t part_lanes_, parts_;   // of a row
  int64_t group_rows_, groups_;  // of rows
};

}  // namespace cssm
