// The step of coupled_scan: h = (G o K) h + b x, y = c h, of sizes[0] components, G and K of sizes[0] x sizes[0] and
// multiplied entry by entry. Inputs: G, real; K; x; b and c, which may be absent.
#pragma once

#include "cpu/lane_values.h"

namespace cssm {
namespace CSSM_ISA {

template <class C, bool kComplex>
struct CoupledScan {
  using Access = LaneAccess<C, kComplex>;
  using Number = typename Access::Number;
  using V = typename Access::V;
  enum { kG, kK, kX, kB, kC };
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
        if (s.in[kB].data) h = h * at.read(s.in[kB], t, i);
        for (int j = 0; j < rows; ++j) h = multiply_add(transition(at, t, i, j), before[j], h);
        at.put_state(t + 1, i, h);
        at.put(s.y, t, i, 0, s.in[kC].data ? h * at.read(s.in[kC], t, i) : h);
      }
    });
  }

  // g = c ct + what later steps pass back; dc = ct h, dx = b g, db = x g, and with A = G o K and dA = g h before^T:
  // dG = the real part of K o dA, dK = G o dA, and A^T g is passed on.
  template <int kRows>
  static void backward_of(LaneSegment s) {
    const int rows = kRows ? kRows : int(s.sizes[0]);
    for_each_step<C, kComplex>(s, true, [&](const Access& at, int64_t t) CSSM_INLINE_BODY {
      Number before[kRows ? kRows : kMostRows], passed[kRows ? kRows : kMostRows] = {};
      for (int j = 0; j < rows; ++j) before[j] = at.kept(t, at.state(t, j));
      for (int i = 0; i < rows; ++i) {
        Number g = at.ct_state(i);
        if (s.ct.data) {
          const Number ct = at.read(s.ct, t, i);
          at.put(s.grad[kC], t, i, 0, ct * at.state(t + 1, i));
          g = s.in[kC].data ? multiply_add(at.read(s.in[kC], t, i), ct, g) : g + ct;
        } else {
          at.put(s.grad[kC], t, i, 0, Number{});
        }
        at.put(s.grad[kX], t, i, 0, s.in[kB].data ? g * at.read(s.in[kB], t, i) : g);
        at.put(s.grad[kB], t, i, 0, g * at.read(s.in[kX], t, i));
        for (int j = 0; j < rows; ++j) {
          const Number da = g * before[j], k = at.read(s.in[kK], t, i, j);
          const V gate = at.read_real(s.in[kG], t, i, j);
          at.put_real(s.grad[kG], t, i, j, (da * k).re);
          at.put(s.grad[kK], t, i, j, scaled(gate, da));
          passed[j] = multiply_add(scaled(gate, k), g, passed[j]);
        }
      }
      for (int j = 0; j < rows; ++j) at.put_ct_state(j, at.kept(t, passed[j]));
    });
  }

  static void forward(LaneSegment s) {
    switch (s.sizes[0]) {
      case 1: return forward_of<1>(s);
      case 2: return forward_of<2>(s);
      case 3: return forward_of<3>(s);
      default: return forward_of<0>(s);
    }
  }
  static void backward(LaneSegment s) {
    switch (s.sizes[0]) {
      case 1: return backward_of<1>(s);
      case 2: return backward_of<2>(s);
      case 3: return backward_of<3>(s);
      default: return backward_of<0>(s);
    }
  }

 private:
  static Number transition(const Access& at, int64_t t, int row, int column) {
    return scaled(at.read_real(at.s.in[kG], t, row, column), at.read(at.s.in[kK], t, row, column));
  }
};

}  // namespace CSSM_ISA
}  // namespace cssm
