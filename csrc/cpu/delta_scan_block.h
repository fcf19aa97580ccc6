// The step of delta_scan. For each row r of the state, as a column of sizes[0] = d_k numbers, r < sizes[1] = d_v:
//   p = k^H s,  s = a (s - beta p k) + beta v_r w,  o_r = s . q,  with w = conj(k), or k (the option).
// Inputs: a, beta, k, v, q. The state's components are (r, j).
#pragma once

#include "cpu/lane_values.h"

namespace cssm {
namespace CSSM_ISA {

template <class C, bool kComplex>
struct DeltaScan {
  using Access = LaneAccess<C, kComplex>;
  using Number = typename Access::Number;
  enum { kA, kBeta, kKey, kValue, kQuery };
  enum { kConjugate, kPlain };

  static Number write_key(const LaneSegment& s, Number key) { return s.option == kConjugate ? conj(key) : key; }

  template <int kKeys>
  static void forward_of(LaneSegment s) {
    const int64_t keys = kKeys ? kKeys : s.sizes[0];
    for_each_step<C, kComplex>(s, false, [&](const Access& at, int64_t t) CSSM_INLINE_BODY {
      const Number a = at.read(s.in[kA], t), beta = at.read(s.in[kBeta], t);
      const auto key = [&](int64_t j) { return at.read(s.in[kKey], t, j); };
      for (int64_t r = 0; r < s.sizes[1]; ++r) {
        const int64_t row = r * keys;
        Number p{};
        for (int64_t j = 0; j < keys; ++j) p = multiply_add(conj(key(j)), at.kept(t, at.state(t, row + j)), p);
        const Number erased = a * beta * p, written = beta * at.read(s.in[kValue], t, r);
        Number o{};
        for (int64_t j = 0; j < keys; ++j) {
          const Number k = key(j);
          Number h = a * at.kept(t, at.state(t, row + j)) - erased * k;
          h = multiply_add(written, write_key(s, k), h);
          at.put_state(t + 1, row + j, h);
          o = multiply_add(h, at.read(s.in[kQuery], t, j), o);
        }
        at.put(s.y, t, r, 0, o);
      }
    });
  }

  // Back through the lines above, g being the cotangent of the new s; JAX's cotangent of conj(z) is conj(ct).
  static void backward(LaneSegment s) {
    const int64_t keys = s.sizes[0];
    for_each_step<C, kComplex>(s, true, [&](const Access& at, int64_t t) CSSM_INLINE_BODY {
      const Number a = at.read(s.in[kA], t), beta = at.read(s.in[kBeta], t);
      const auto key = [&](int64_t j) { return at.read(s.in[kKey], t, j); };
      Number da{}, dbeta{};
      for (int64_t r = 0; r < s.sizes[1]; ++r) {
        const int64_t row = r * keys;
        const Number v = at.read(s.in[kValue], t, r), ct = s.ct.data ? at.read(s.ct, t, r) : Number{};
        const auto g = [&](int64_t j) { return multiply_add(ct, at.read(s.in[kQuery], t, j), at.ct_state(row + j)); };
        const auto before = [&](int64_t j) { return at.kept(t, at.state(t, row + j)); };
        Number p{}, g_k{}, g_w{}, g_s{};
        for (int64_t j = 0; j < keys; ++j) {
          const Number k = key(j);
          p = multiply_add(conj(k), before(j), p);
          g_k = multiply_add(g(j), k, g_k);
          g_w = multiply_add(g(j), write_key(s, k), g_w);
          g_s = multiply_add(g(j), before(j), g_s);
        }
        da = da + g_s - beta * p * g_k;
        dbeta = dbeta + v * g_w - a * p * g_k;
        at.put(s.grad[kValue], t, r, 0, beta * g_w);
        const Number erased = a * beta * p, dp = Number{} - a * beta * g_k, written = beta * v;
        for (int64_t j = 0; j < keys; ++j) {
          const Number dw = written * g(j), k = key(j);
          const Number dkey = conj(dp * before(j)) - erased * g(j) + (s.option == kConjugate ? conj(dw) : dw);
          share(at, s.grad[kKey], t, r, j, dkey);
          share(at, s.grad[kQuery], t, r, j, ct * at.state(t + 1, row + j));
          at.put_ct_state(row + j, at.kept(t, multiply_add(a, g(j), dp * conj(k))));
        }
      }
      at.put(s.grad[kA], t, 0, 0, da);
      at.put(s.grad[kBeta], t, 0, 0, dbeta);
    });
  }

  static void forward(LaneSegment s) {
    switch (s.sizes[0]) {
      case 2: return forward_of<2>(s);
      case 4: return forward_of<4>(s);
      default: return forward_of<0>(s);
    }
  }

 private:
  // Rows add to one gradient: the first of them sets it.
  static void share(const Access& at, const LaneTile& grad, int64_t t, int64_t r, int64_t j, Number value) {
    if (!grad.data) return;
    LaneTile tile = grad;
    tile.adds = tile.adds || r > 0;
    at.put(tile, t, j, 0, value);
  }
};

}  // namespace CSSM_ISA
}  // namespace cssm
