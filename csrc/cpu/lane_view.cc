#include "cpu/lane_view.h"

#include <algorithm>

namespace cssm {

int64_t LaneArray::elements() const {
  int64_t n = rows * columns;
  for (int64_t size : dims) n *= size;
  return n;
}

LaneArray lane_array(const char* data, DType dtype, const Dims& dims, int64_t lane_rank, int64_t row_axis) {
  LaneArray array;
  array.data = const_cast<char*>(data);
  array.dtype = dtype;
  Dims strides(dims.size());
  int64_t step = 1;
  for (size_t d = dims.size(); d-- > 0;) {
    strides[d] = dims[d] == 1 ? 0 : step;
    step *= dims[d];
  }
  array.dims.assign(dims.begin(), dims.begin() + lane_rank);
  array.strides.assign(strides.begin(), strides.begin() + lane_rank);
  const int64_t components = int64_t(dims.size()) - lane_rank;
  if (components > 0) {
    array.rows = dims[lane_rank];
    array.row_stride = strides[lane_rank];
  }
  if (components > 1) {
    array.columns = dims[lane_rank + 1];
    array.column_stride = strides[lane_rank + 1];
  }
  if (row_axis >= 0) {
    array.rows = dims[row_axis];
    array.row_stride = strides[row_axis];
    array.dims[row_axis] = 1;
    array.strides[row_axis] = 0;
  }
  return array;
}

int64_t LaneBox::rows() const {
  int64_t n = 1;
  for (size_t d = 0; d + 1 < dims.size(); ++d) n *= dims[d].size;
  return n;
}

LaneBox LaneBox::part(size_t dim, int64_t begin, int64_t end) const {
  LaneBox out = *this;
  for (int slot = 0; slot < kNumLaneSlots; ++slot) out.base[slot] += begin * dims[dim].stride[slot];
  out.dims[dim].size = end - begin;
  return out;
}

LaneBox make_lane_box(const Dims& shape, int64_t axis, const LaneArray* const (&arrays)[kNumLaneSlots]) {
  LaneBox box;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (int64_t(d) == axis || shape[d] == 1) continue;
    LaneDim dim{shape[d], {}};
    for (int slot = 0; slot < kNumLaneSlots; ++slot) {
      dim.stride[slot] = arrays[slot]->data ? arrays[slot]->strides[d] : 0;
    }
    const auto steps_alike = [&](const LaneDim& outer) {
      for (int slot = 0; slot < kNumLaneSlots; ++slot) {
        if (outer.stride[slot] != dim.size * dim.stride[slot]) return false;
      }
      return true;
    };
    if (!box.dims.empty() && steps_alike(box.dims.back())) {
      dim.size *= box.dims.back().size;
      box.dims.back() = dim;
    } else {
      box.dims.push_back(dim);
    }
  }
  return box;
}

LaneBlocks::LaneBlocks(const LaneBox& box, int64_t most) : box_(box) {
  const int64_t inner = box.inner(), rows = box.rows();
  parts_ = (inner + most - 1) / most;
  part_lanes_ = parts_ > 1 ? whole_groups((inner + parts_ - 1) / parts_) : inner;
  parts_ = (inner + part_lanes_ - 1) / part_lanes_;
  group_rows_ = parts_ > 1 ? 1 : std::max<int64_t>(1, most / inner);
  groups_ = (rows + group_rows_ - 1) / group_rows_;
}

void LaneBlocks::runs(int64_t block, std::vector<LaneRun>& into) const {
  into.clear();
  // Rows that share an operand follow one another: what is read for one serves the next.
  const int64_t first_lane = block / groups_ * part_lanes_;
  const int64_t first_row = block % groups_ * group_rows_;
  const int64_t last_row = std::min(first_row + group_rows_, box_.rows());
  const int64_t lanes = std::min(part_lanes_, box_.inner() - first_lane);
  for (int64_t row = first_row; row < last_row; ++row) {
    LaneRun run{(row - first_row) * lanes, lanes, {}};
    for (int slot = 0; slot < kNumLaneSlots; ++slot) {
      run.at[slot] = box_.base[slot] + first_lane * box_.inner_stride(slot);
    }
    int64_t index = row;
    for (size_t d = box_.dims.size() - (box_.dims.empty() ? 0 : 1); d-- > 0;) {
      const int64_t i = index % box_.dims[d].size;
      index /= box_.dims[d].size;
      for (int slot = 0; slot < kNumLaneSlots; ++slot) run.at[slot] += i * box_.dims[d].stride[slot];
    }
    into.push_back(run);
  }
}

}  // namespace cssm
