// The step of matrix_scan: h = A h + x, A of sizes[0] x sizes[0]. Inputs: A, x. Option: which triangle of A is read.
#pragma once

#include "cpu/lane_values.h"

namespace cssm {
namespace CSSM_ISA {

template <class C, bool kComplex>
struct MatrixScan {
  using Access = LaneAccess<C, kComplex>;
  using Number = typename Access::Number;
  enum { kA, kX };
  enum { kFull, kUpper, kLower };
  static constexpr int kMostRows = 16;

  // kRows: the size where it is known, and loops are unrolled.
  template <int kRows>
  static void forward_of(LaneSegment s) {
    const int rows = kRows ? kRows : int(s.sizes[0]);
    for_each_step<C, kComplex>(s, false, [&](const Access& at, int64_t t) CSSM_INLINE_BODY {
      Number before[kRows ? kRows : kMostRows];
      for (int j = 0; j < rows; ++j) before[j] = at.kept(t, at.state(t, j));
      for (int i = 0; i < rows; ++i) {
        Number h = at.read(s.in[kX], t, i);
        for (int j = first(s, i); j < last(s, i, rows); ++j) h = multiply_add(at.read(s.in[kA], t, i, j), before[j], h);
        at.put_state(t + 1, i, h);
        at.put(s.y, t, i, 0, h);
      }
    });
  }

  // g = ct + what later steps pass back; dx = g, dA = g h before^T, and A^T g is passed on.
  template <int kRows>
  static void backward_of(LaneSegment s) {
    const int rows = kRows ? kRows : int(s.sizes[0]);
    for_each_step<C, kComplex>(s, true, [&](const Access& at, int64_t t) CSSM_INLINE_BODY {
      Number before[kRows ? kRows : kMostRows], passed[kRows ? kRows : kMostRows] = {};
      for (int j = 0; j < rows; ++j) before[j] = at.kept(t, at.state(t, j));
      for (int i = 0; i < rows; ++i) {
        Number g = at.ct_state(i);
        if (s.ct.data) g = g + at.read(s.ct, t, i);
        at.put(s.grad[kX], t, i, 0, g);
        for (int j = 0; j < rows; ++j) {
          const bool reads = first(s, i) <= j && j < last(s, i, rows);
          at.put(s.grad[kA], t, i, j, reads ? g * before[j] : Number{});
          if (reads) passed[j] = multiply_add(at.read(s.in[kA], t, i, j), g, passed[j]);
        }
      }
      for (int j = 0; j < rows; ++j) at.put_ct_state(j, at.kept(t, passed[j]));
    });
  }

  static void forward(LaneSegment s) {
    switch (s.sizes[0]) {
      case 2: return forward_of<2>(s);
      case 3: return forward_of<3>(s);
      default: return forward_of<0>(s);
    }
  }
  static void backward(LaneSegment s) {
    switch (s.sizes[0]) {
      case 2: return backward_of<2>(s);
      case 3: return backward_of<3>(s);
      default: return backward_of<0>(s);
    }
  }

 private:
  static int first(const LaneSegment& s, int row) { return s.option == kUpper ? row : 0; }
  static int last(const LaneSegment& s, int row, int rows) { return s.option == kLower ? row + 1 : rows; }
};

}  // namespace CSSM_ISA
}  // namespace cssm
