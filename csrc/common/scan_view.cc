#include "common/scan_view.h"

namespace cssm {
namespace {

// Row-major strides, 0 where the operand is broadcast.
Dims strides_of(const Dims& dims) {
  Dims strides(dims.size());
  int64_t step = 1;
  for (size_t d = dims.size(); d-- > 0;) {
    strides[d] = dims[d] == 1 ? 0 : step;
    step *= dims[d];
  }
  return strides;
}

bool steps_alike(const Dim& outer, const Dim& inner) {
  for (int k = 0; k < kNumOperands; ++k) {
    if (outer.stride[k] != inner.size * inner.stride[k]) return false;
  }
  return true;
}

}  // namespace

int64_t ScanView::lanes() const {
  int64_t n = 1;
  for (const Dim& dim : dims) n *= dim.size;
  return n;
}

ScanView make_scan_view(const Dims& shape, int64_t axis, const Dims& a, const Dims& x, const Dims& reset,
                        const Dims& h0) {
  Dims state = shape;
  state[axis] = 1;
  const Dims strides[kNumOperands] = {strides_of(a),     strides_of(x),  strides_of(shape),
                                      strides_of(reset), strides_of(h0), strides_of(state)};
  ScanView view;
  view.steps = shape[axis];
  for (int k = 0; k < kNumOperands; ++k) view.time_stride[k] = strides[k][axis];
  for (size_t d = 0; d < shape.size(); ++d) {
    if (int64_t(d) == axis || shape[d] == 1) continue;
    Dim dim{shape[d], {}};
    for (int k = 0; k < kNumOperands; ++k) dim.stride[k] = strides[k][d];
    if (!view.dims.empty() && steps_alike(view.dims.back(), dim)) {
      dim.size *= view.dims.back().size;
      view.dims.back() = dim;
    } else {
      view.dims.push_back(dim);
    }
  }
  return view;
}

Offsets offsets_of(const std::vector<Dim>& dims, int64_t index) {
  Offsets offsets{};
  for (size_t d = dims.size(); d-- > 0;) {
    const int64_t i = index % dims[d].size;
    index /= dims[d].size;
    for (int k = 0; k < kNumOperands; ++k) offsets.at[k] += i * dims[d].stride[k];
  }
  return offsets;
}

}  // namespace cssm
