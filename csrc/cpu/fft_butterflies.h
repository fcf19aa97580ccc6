// Complex numbers, one a lane, and the transforms of a few of them that stay in registers. Only for translation units
// compiled once an instruction set.
#pragma once

#include "common/simd.h"

namespace cssm {
namespace CSSM_ISA {

template <class C>
inline constexpr int kLanes = kVectorBytes / sizeof(C);

// One complex number a lane. In memory: kLanes real parts, then kLanes imaginary ones.
template <class C>
struct Lanes {
  using V = Vec<C, kLanes<C>>;
  V re, im;

  friend CSSM_INLINE Lanes operator+(Lanes a, Lanes b) { return {a.re + b.re, a.im + b.im}; }
  friend CSSM_INLINE Lanes operator-(Lanes a, Lanes b) { return {a.re - b.re, a.im - b.im}; }
  friend CSSM_INLINE Lanes operator*(Lanes a, C b) { return {a.re * b, a.im * b}; }
  CSSM_INLINE Lanes times(C wr, C wi) const { return {re * wr - im * wi, re * wi + im * wr}; }
  CSSM_INLINE Lanes times_minus_i() const { return {im, -re}; }
};

// Scalars from one complex vector to the next.
template <class C>
inline constexpr int64_t kUnit = 2 * kLanes<C>;

template <class C>
CSSM_INLINE Vec<C, kLanes<C>> load_part(const C* p) {
  return load<C, kLanes<C>>(p);
}
template <class C>
CSSM_INLINE Lanes<C> load_lanes(const C* p) {
  return {load_part(p), load_part(p + kLanes<C>)};
}
template <class C>
CSSM_INLINE void store_lanes(C* p, Lanes<C> value) {
  store<C, kLanes<C>>(p, value.re);
  store<C, kLanes<C>>(p + kLanes<C>, value.im);
}

// (cos, sin)(2 pi j / R), j = 1 .. (R - 1) / 2.
template <int R>
struct OddRoots;
template <>
struct OddRoots<3> {
  static constexpr double kCos[] = {-0.5}, kSin[] = {0.86602540378443864676};
};
template <>
struct OddRoots<5> {
  static constexpr double kCos[] = {0.30901699437494742410, -0.80901699437494742410};
  static constexpr double kSin[] = {0.95105651629515357212, 0.58778525229247312917};
};
template <>
struct OddRoots<7> {
  static constexpr double kCos[] = {0.62348980185873353053, -0.22252093395631440429, -0.90096886790241912624};
  static constexpr double kSin[] = {0.78183148246802980871, 0.97492791218182360702, 0.43388373911755812048};
};

// In place: a[k] = sum_j a[j] exp(-2 pi i j k / R).
template <int R, class C>
struct Butterfly {
  static_assert(R == 3 || R == 5 || R == 7);
  static CSSM_INLINE void run(Lanes<C>* a) {
    constexpr int kHalf = (R - 1) / 2;
    using Roots = OddRoots<R>;
    Lanes<C> sum[kHalf], difference[kHalf];
    Lanes<C> total = a[0];
#pragma GCC unroll 16
    for (int j = 0; j < kHalf; ++j) {
      sum[j] = a[1 + j] + a[R - 1 - j];
      difference[j] = a[1 + j] - a[R - 1 - j];
      total = total + sum[j];
    }
    Lanes<C> first = a[0];
    a[0] = total;
#pragma GCC unroll 16
    for (int k = 1; k <= kHalf; ++k) {
      Lanes<C> even = first, odd{};
#pragma GCC unroll 16
      for (int j = 1; j <= kHalf; ++j) {
        const int index = j * k % R;
        const bool low = index <= kHalf;
        const C cosine = C(Roots::kCos[(low ? index : R - index) - 1]);
        const C sine = C(Roots::kSin[(low ? index : R - index) - 1]) * C(low ? 1 : -1);
        even = even + sum[j - 1] * cosine;
        odd = odd + difference[j - 1] * sine;
      }
      a[k] = even + odd.times_minus_i();
      a[R - k] = even - odd.times_minus_i();
    }
  }
};

template <class C>
struct Butterfly<1, C> {
  static CSSM_INLINE void run(Lanes<C>*) {}
};

template <class C>
struct Butterfly<2, C> {
  static CSSM_INLINE void run(Lanes<C>* a) {
    const Lanes<C> sum = a[0] + a[1];
    a[1] = a[0] - a[1];
    a[0] = sum;
  }
};

// a - b in the units that multiply, where those that add are another pair: a butterfly has three sums to a product, and
// is as fast as the busier pair. One is hidden from the compiler, which would do without the product.
template <class C>
CSSM_INLINE Lanes<C> difference_by_multiplying(Lanes<C> a, Lanes<C> b) {
#if defined(__FMA__)
  typename Lanes<C>::V one = typename Lanes<C>::V{} + C(1);
  asm("" : "+v"(one));
  return {a.re * one - b.re, a.im * one - b.im};
#else
  return a - b;
#endif
}

template <class C>
CSSM_INLINE void butterfly4(Lanes<C>& a0, Lanes<C>& a1, Lanes<C>& a2, Lanes<C>& a3) {
  const Lanes<C> s = a0 + a2, d = a0 - a2, t = a1 + a3, u = (a1 - a3).times_minus_i();
  a0 = s + t;
  a1 = d + u;
  a2 = difference_by_multiplying(s, t);
  a3 = difference_by_multiplying(d, u);
}
// The same of a1 and a3 times c.
template <class C>
CSSM_INLINE void butterfly4(Lanes<C>& a0, Lanes<C>& a1, Lanes<C>& a2, Lanes<C>& a3, C c) {
  const Lanes<C> s = a0 + a2, d = a0 - a2, t = a1 + a3, u = (a1 - a3).times_minus_i();
  a0 = s + t * c;
  a1 = d + u * c;
  a2 = s - t * c;
  a3 = d - u * c;
}

template <class C>
struct Butterfly<4, C> {
  static CSSM_INLINE void run(Lanes<C>* a) { butterfly4(a[0], a[1], a[2], a[3]); }
};

inline constexpr double kHalfRoot = 0.70710678118654752440;

// times exp(-2 pi i / 8) and its cube, both times the root of two.
template <class C>
CSSM_INLINE Lanes<C> times_scaled_w8(Lanes<C> a) {
  return {a.re + a.im, a.im - a.re};
}
template <class C>
CSSM_INLINE Lanes<C> times_scaled_w8_cubed(Lanes<C> a) {
  return {a.im - a.re, -(a.re + a.im)};
}
template <class C>
CSSM_INLINE Lanes<C> times_w8(Lanes<C> a) {
  return times_scaled_w8(a) * C(kHalfRoot);
}
template <class C>
CSSM_INLINE Lanes<C> times_w8_cubed(Lanes<C> a) {
  return times_scaled_w8_cubed(a) * C(kHalfRoot);
}

template <class C>
struct Butterfly<8, C> {
  static CSSM_INLINE void run(Lanes<C>* a) {
    Lanes<C> u0 = a[0] + a[4], u1 = a[1] + a[5], u2 = a[2] + a[6], u3 = a[3] + a[7];
    Lanes<C> v0 = a[0] - a[4], v1 = times_scaled_w8(a[1] - a[5]), v2 = (a[2] - a[6]).times_minus_i(),
             v3 = times_scaled_w8_cubed(a[3] - a[7]);
    butterfly4(u0, u1, u2, u3);
    butterfly4(v0, v1, v2, v3, C(kHalfRoot));
    a[0] = u0, a[2] = u1, a[4] = u2, a[6] = u3;
    a[1] = v0, a[3] = v1, a[5] = v2, a[7] = v3;
  }
};

template <class C>
struct Butterfly<16, C> {
  static CSSM_INLINE void run(Lanes<C>* a) {
    constexpr C kCos = C(0.92387953251128675613), kSin = C(0.38268343236508977173);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) butterfly4(a[j], a[j + 4], a[j + 8], a[j + 12]);
    a[5] = a[5].times(kCos, -kSin);
    a[9] = times_w8(a[9]);
    a[13] = a[13].times(kSin, -kCos);
    a[6] = times_w8(a[6]);
    a[10] = a[10].times_minus_i();
    a[14] = times_w8_cubed(a[14]);
    a[7] = a[7].times(kSin, -kCos);
    a[11] = times_w8_cubed(a[11]);
    a[15] = a[15].times(-kCos, kSin);
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) butterfly4(a[4 * k], a[4 * k + 1], a[4 * k + 2], a[4 * k + 3]);
    // a[4 k + l] is output k + 4 l.
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) {
#pragma GCC unroll 4
      for (int l = 0; l < k; ++l) {
        const Lanes<C> swapped = a[4 * k + l];
        a[4 * k + l] = a[4 * l + k];
        a[4 * l + k] = swapped;
      }
    }
  }
};

}  // namespace CSSM_ISA
}  // namespace cssm
