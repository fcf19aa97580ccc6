// The step of goom_scan and goom_matrix_scan, on complex logarithms: h = A h + x, A of sizes[0] x sizes[0]. Inputs: log
// A, log x. Within a scan a component of the state is a number z 2^k, |z| about 1 and k a whole number, -inf at zero:
// products and sums of those need no transcendental function. State rows: z of each component, then k of each, as real
// parts.
#pragma once

#include "cpu/lane_values.h"
#include "cpu/vector_math.h"

namespace cssm {
namespace CSSM_ISA {

template <class C>
struct GoomScan {
  using Access = LaneAccess<C, true>;
  using Number = typename Access::Number;
  using V = typename Access::V;
  using Math = VectorMath<C, kLanes<C>>;
  using K = MathConstants<C>;
  enum { kA, kX };
  static constexpr int kMostRows = 16;

  struct Scaled {
    Number z;
    V k;
  };

  static V fill(C value) { return V{} + value; }
  static constexpr C kInfinity = K::kInfinity;
  static constexpr C kLog2E = C(1.4426950408889634);
  // log 2 in two parts; products with the first, of 12 bits, are exact for the k of common magnitudes.
  static constexpr C kLog2High = C(2839.0 / 4096), kLog2Low = C(3.1946184945309417e-05);

  // To the nearest whole number, if it is not one for being large.
  static CSSM_INLINE V rounded(V x) {
    const V near = (x + K::kRound) - K::kRound;
    const V large = fill(C(typename K::Bits(1) << (K::kMantissa - 1)));
    return x < large && x > -large ? near : x;
  }

  // 2^n, 0 where n is less than a number's smallest exponent.
  static CSSM_INLINE V power(V n) {
    const V most = fill(C(K::kBias));
    n = n > most ? most : n;
    n = n > -most ? n : -most;
    const V shifted = n + (K::kRound + C(K::kBias));
    return bit_cast<V>(bit_cast<typename Math::U>(shifted) << K::kMantissa);
  }

  // A phase that is the number nearest to a multiple of pi / 2 counts as that multiple.
  static CSSM_INLINE Number unit(V phase) {
    const auto sincos = Math::sincos(phase);
    constexpr C kHalfPi = C(1.5707963267948966), kTwoOverPi = C(0.6366197723675814);
    const V quarters = rounded(phase * kTwoOverPi);
    const auto is_exact = phase == quarters * kHalfPi;
    const V left = quarters - rounded((quarters - C(1.5)) * C(0.25)) * C(4);  // 0 ... 3
    const auto is_even = (left == C(0)) | (left == C(2));
    const V cosine = is_even ? C(1) - left : V{}, sine = is_even ? V{} * phase : C(2) - left;
    return {is_exact ? cosine : sincos.cos, is_exact ? sine : sincos.sin};
  }

  static auto is_infinite(V x) { return (x == fill(kInfinity)) | (x == fill(-kInfinity)); }

  static CSSM_INLINE Scaled from_log(Number log) {
    const V k = is_infinite(log.re) ? log.re : rounded(log.re * kLog2E);
    V rest = (log.re - k * kLog2High) - k * kLog2Low;
    rest = is_infinite(k) ? V{} : rest;
    rest = rest > C(1) ? fill(C(1)) : rest;  // where the logarithm's last place is larger than 1
    rest = rest < C(-1) ? fill(C(-1)) : rest;
    const V size = Math::exp(rest);
    const Number direction = unit(log.im);
    return {{size * direction.re, size * direction.im}, k};
  }

  static CSSM_INLINE Number to_log(Scaled h) {
    const V magnitude = Math::log(h.z.re * h.z.re + h.z.im * h.z.im) * C(0.5);
    return {is_infinite(h.k) ? h.k : h.k * kLog2High + (h.k * kLog2Low + magnitude), Math::atan2(h.z.im, h.z.re)};
  }

  static Number times(Number z, V factor) { return {z.re * factor, z.im * factor}; }

  // z 2^(k - to)
  static CSSM_INLINE Number aligned(Scaled term, V to) {
    return times(term.z, power(term.k == to ? V{} : term.k - to));
  }

  // z brought back to its range.
  static CSSM_INLINE Scaled normalized(Number z, V k) {
    const V re = z.re < C(0) ? -z.re : z.re, im = z.im < C(0) ? -z.im : z.im;
    const V size = re > im ? re : im;
    const auto bits = bit_cast<typename Math::U>(size) >> K::kMantissa;
    const V own = __builtin_convertvector(bit_cast<SignedBits>(bits), V) - C(K::kBias);
    const V exponent = size < kInfinity ? own : V{};
    return {times(z, power(-exponent)), size == C(0) ? fill(-kInfinity) : k + exponent};
  }

  static CSSM_INLINE Scaled state(const Access& at, int64_t t, int64_t i) {
    return {at.state(t, i), at.state(t, at.s.sizes[0] + i).re};
  }
  static void put_state(const Access& at, int64_t t, int64_t i, Scaled h) {
    at.put_state(t, i, h.z);
    at.put_state(t, at.s.sizes[0] + i, {h.k, V{}});
  }
  // The state before step t: zero in the lanes that it resets.
  static CSSM_INLINE Scaled before(const Access& at, int64_t t, int64_t i) {
    Scaled h = state(at, t, i);
    h.k = at.is_reset(t) ? fill(-kInfinity) : h.k;
    h.z = at.kept(t, h.z);
    return h;
  }

  // kRows: the size where it is known.
  template <int kRows>
  static void forward_of(LaneSegment s) {
    const int64_t rows = kRows ? kRows : s.sizes[0];
    for_each_step<C, true>(s, false, [&](const Access& at, int64_t t) CSSM_INLINE_BODY {
      Scaled h[kRows ? kRows : kMostRows], terms[kRows ? kRows : kMostRows];
      for (int64_t j = 0; j < rows; ++j) h[j] = before(at, t, j);
      for (int64_t i = 0; i < rows; ++i) {
        const Scaled x = from_log(at.read(s.in[kX], t, i));
        V most = x.k;
        for (int64_t j = 0; j < rows; ++j) {
          const Scaled a = from_log(at.read(s.in[kA], t, i, j));
          terms[j] = {a.z * h[j].z, a.k + h[j].k};
          most = terms[j].k > most ? terms[j].k : most;
        }
        Number sum = aligned(x, most);
        for (int64_t j = 0; j < rows; ++j) sum = sum + aligned(terms[j], most);
        const Scaled next = normalized(sum, most);
        put_state(at, t + 1, i, next);
        if (s.y.data) at.put(s.y, t, i, 0, to_log(next));
      }
    });
  }

  // With g the cotangent of log h and what later steps pass back: d log x = g x / h, d log A = g w, and w^T g is passed
  // on, w[i, j] = A[i, j] h before[j] / h[i]; all of them 0 where h[i] is.
  template <int kRows>
  static void backward_of(LaneSegment s) {
    const int64_t rows = kRows ? kRows : s.sizes[0];
    for_each_step<C, true>(s, true, [&](const Access& at, int64_t t) CSSM_INLINE_BODY {
      Scaled h[kRows ? kRows : kMostRows];
      Number passed[kRows ? kRows : kMostRows] = {};
      for (int64_t j = 0; j < rows; ++j) h[j] = before(at, t, j);
      for (int64_t i = 0; i < rows; ++i) {
        Number g = at.ct_state(i);
        if (s.ct.data) g = g + at.read(s.ct, t, i);
        const Scaled now = state(at, t + 1, i);
        const auto is_zero = now.k == fill(-kInfinity);
        const V square = now.z.re * now.z.re + now.z.im * now.z.im;
        const Number shared = times(g * conj(now.z), is_zero ? V{} : C(1) / (is_zero ? fill(C(1)) : square));
        const auto share = [&](Scaled part) {
          const Number value = shared * times(part.z, power(is_zero ? V{} : part.k - now.k));
          return Number{is_zero ? V{} : value.re, is_zero ? V{} : value.im};
        };
        at.put(s.grad[kX], t, i, 0, share(from_log(at.read(s.in[kX], t, i))));
        for (int64_t j = 0; j < rows; ++j) {
          const Scaled a = from_log(at.read(s.in[kA], t, i, j));
          const Number weighted = share({a.z * h[j].z, a.k + h[j].k});
          at.put(s.grad[kA], t, i, j, weighted);
          passed[j] = passed[j] + weighted;
        }
      }
      for (int64_t j = 0; j < rows; ++j) at.put_ct_state(j, at.kept(t, passed[j]));
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

  // Between the initial and final states as they are in memory, logarithms, and those of a scan.
  static void enter(const LaneSegment& s, bool is_given) {
    for (int64_t lane = 0; lane < s.lanes; lane += kLanes<C>) {
      const Access at{s, lane};
      for (int64_t i = 0; i < s.sizes[0]; ++i) {
        put_state(at, 0, i, is_given ? from_log(at.state(0, i)) : Scaled{{}, fill(-kInfinity)});
      }
    }
  }
  static void leave(const LaneSegment& s) {
    for (int64_t lane = 0; lane < s.lanes; lane += kLanes<C>) {
      const Access at{s, lane};
      for (int64_t i = 0; i < s.sizes[0]; ++i) at.put_state(0, i, to_log(state(at, 0, i)));
    }
  }

 private:
  using SignedBits = Vec<std::conditional_t<sizeof(C) == 4, int32_t, int64_t>, kLanes<C>>;
};

}  // namespace CSSM_ISA
}  // namespace cssm
