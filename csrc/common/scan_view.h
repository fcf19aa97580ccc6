// A recurrence over one axis of broadcast arrays, seen as (lanes, time): which dimensions there are, and every
// operand's stride in each. Broadcast dimensions have stride 0; neighbouring dimensions that step alike are merged.
#pragma once

#include <stddef.h>

#include <cstdint>
#include <vector>

namespace cssm {

// Operands of a view, in this order.
enum Operand : int { kA, kX, kH, kReset, kH0, kState, kNumOperands };

struct Dim {
  int64_t size;
  int64_t stride[kNumOperands];
};

struct ScanView {
  int64_t steps;
  int64_t time_stride[kNumOperands];
  std::vector<Dim> dims;  // all but time, outermost first, none of size 1
  int64_t lanes() const;
};

using Dims = std::vector<int64_t>;

// `shape` is the full shape; each operand's dims have its rank and are full or 1. kH is full by definition, kState is
// full but for the time axis; an absent operand is given as all ones.
ScanView make_scan_view(const Dims& shape, int64_t axis, const Dims& a, const Dims& x, const Dims& reset,
                        const Dims& h0);

// Offsets of the lane with a given index, dims taken in their order (last fastest).
struct Offsets {
  int64_t at[kNumOperands];
};
Offsets offsets_of(const std::vector<Dim>& dims, int64_t index);

}  // namespace cssm
