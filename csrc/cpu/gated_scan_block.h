// The step of gated_scan: h = a h + b x for each of `sizes[0]` states, y = the sum of c h over them. Inputs: a, b, x,
// c; b and c may be absent.
#pragma once

#include "cpu/lane_values.h"

namespace cssm {
namespace CSSM_ISA {

template <class C, bool kComplex>
struct GatedScan {
  using Access = LaneAccess<C, kComplex>;
  using Number = typename Access::Number;
  enum { kA, kB, kX, kC };

  static void forward(LaneSegment s) {
    for_each_step<C, kComplex>(s, false, [&](const Access& at, int64_t t) CSSM_INLINE_BODY {
      Number y{};
      for (int64_t n = 0; n < s.sizes[0]; ++n) {
        Number u = at.read(s.in[kX], t, n);
        if (s.in[kB].data) u = u * at.read(s.in[kB], t, n);
        const Number h = multiply_add(at.read(s.in[kA], t, n), at.kept(t, at.state(t, n)), u);
        at.put_state(t + 1, n, h);
        y = s.in[kC].data ? multiply_add(at.read(s.in[kC], t, n), h, y) : y + h;
      }
      at.put(s.y, t, 0, 0, y);
    });
  }

  // g = c ct + what later steps pass back; dc = ct h, dx = b g, db = x g, da = g h before, and a g is passed on.
  static void backward(LaneSegment s) {
    for_each_step<C, kComplex>(s, true, [&](const Access& at, int64_t t) CSSM_INLINE_BODY {
      const Number ct = s.ct.data ? at.read(s.ct, t) : Number{};
      for (int64_t n = 0; n < s.sizes[0]; ++n) {
        Number g = at.ct_state(n);
        g = s.in[kC].data ? multiply_add(at.read(s.in[kC], t, n), ct, g) : g + ct;
        at.put(s.grad[kC], t, n, 0, ct * at.state(t + 1, n));
        at.put(s.grad[kX], t, n, 0, s.in[kB].data ? g * at.read(s.in[kB], t, n) : g);
        at.put(s.grad[kB], t, n, 0, g * at.read(s.in[kX], t, n));
        at.put(s.grad[kA], t, n, 0, g * at.kept(t, at.state(t, n)));
        at.put_ct_state(n, at.kept(t, g * at.read(s.in[kA], t, n)));
      }
    });
  }
};

}  // namespace CSSM_ISA
}  // namespace cssm
