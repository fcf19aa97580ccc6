// A one-dimensional FFT of whole vectors: lane l of every element is a transform of its own. The first pass reads
// through `load(j)`, the last writes through `store(k, value)`, so that packing, scaling or a recurrence costs no pass.
//
// Loads and stores also say where R elements a `jump` apart are, `at(first, jump)`, which takes their addresses out of
// the innermost loop.
//
// Stockham's autosort form, decimation in frequency: with w = exp(-2 pi i / (m r)), pass (r, m groups, stride s) is
//     y[q + s (r p + k)] = w^(p k) sum_j x[q + s (p + j m)] exp(-2 pi i j k / r).
// Forward only; swapping real and imaginary parts on both sides gives the inverse, unscaled. Only for translation units
// compiled once an instruction set.
#pragma once

#include <type_traits>

#include "common/fft_table.h"
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

// In registers from here on: the compiler would rather load again wherever it can fold a load into an operation.
template <class C>
CSSM_INLINE Lanes<C> kept(Lanes<C> a) {
#if defined(__x86_64__)
  asm("" : "+v"(a.re), "+v"(a.im));
#endif
  return a;
}

// Where R elements are, `jump` apart: what is left of a load or a store in the innermost loop.
template <class C>
struct SpacedUnits {
  C* first;
  int64_t jump;
  CSSM_INLINE Lanes<std::remove_const_t<C>> get(int64_t j) const {
    return load_lanes<std::remove_const_t<C>>(first + j * jump);
  }
  CSSM_INLINE void put(int64_t j, Lanes<C> value) const { store_lanes(first + j * jump, value); }
};

template <int R, bool kTwiddles, class C, class From, class To>
CSSM_INLINE void run_butterfly(const From& from, const To& to, const C* twiddles) {
  Lanes<C> a[R];
#pragma GCC unroll 16
  for (int j = 0; j < R; ++j) a[j] = kept(from.get(j));
  Butterfly<R, C>::run(a);
  to.put(0, a[0]);
#pragma GCC unroll 16
  for (int k = 1; k < R; ++k) {
    if constexpr (kTwiddles) a[k] = a[k].times(twiddles[2 * k - 2], twiddles[2 * k - 1]);
    to.put(k, a[k]);
  }
}

// The first pass has a stride of 1 and the last one group, without twiddles, as every first group. Loads and stores are
// copied: a store could change what is pointed to, and every address would be computed anew.
enum class Place { kFirst, kInner, kLast };

template <int R, Place kPlace, class C, class Load, class Store>
void run_pass(const FftPass<C>& pass, const Load& load, const Store& store) {
  const Load from = load;
  const Store to = store;
  const int64_t groups = kPlace == Place::kLast ? 1 : pass.groups, stride = kPlace == Place::kFirst ? 1 : pass.stride;
  for (int64_t q = 0; q < stride; ++q) {
    run_butterfly<R, false, C>(from.template at<R, true>(q, stride * groups), to.at(q, stride), nullptr);
  }
  const C* twiddles = pass.twiddles;
  for (int64_t p = 1; p < groups; ++p) {
    twiddles += 2 * (R - 1);
    for (int64_t q = 0; q < stride; ++q) {
      const auto at = from.template at<R, false>(q + stride * p, stride * groups);
      run_butterfly<R, true>(at, to.at(q + stride * R * p, stride), twiddles);
    }
  }
}

// Any odd radix, in `work` (radix complex vectors): (radix - 1)^2 multiply-adds a butterfly.
template <class C, class Load, class Store>
void run_odd_pass(const FftPass<C>& pass, const Load& load, const Store& store, C* work) {
  const int64_t radix = pass.radix, groups = pass.groups, stride = pass.stride, half = (radix - 1) / 2;
  C* const sums = work;
  C* const differences = work + half * kUnit<C>;
  for (int64_t p = 0; p < groups; ++p) {
    const C* const twiddles = pass.twiddles + p * 2 * (radix - 1);
    const auto put = [&](int64_t q, int64_t k, Lanes<C> value) __attribute__((always_inline)) {
      if (groups > 1) value = value.times(twiddles[2 * k - 2], twiddles[2 * k - 1]);
      store(q + stride * (radix * p + k), value);
    };
    for (int64_t q = 0; q < stride; ++q) {
      const Lanes<C> first = load(q + stride * p);
      Lanes<C> total = first;
      for (int64_t j = 1; j <= half; ++j) {
        const Lanes<C> a = load(q + stride * (p + j * groups)), b = load(q + stride * (p + (radix - j) * groups));
        total = total + (a + b);
        store_lanes(sums + (j - 1) * kUnit<C>, a + b);
        store_lanes(differences + (j - 1) * kUnit<C>, a - b);
      }
      store(q + stride * radix * p, total);
      for (int64_t k = 1; k <= half; ++k) {
        Lanes<C> even = first, odd{};
        for (int64_t j = 1, index = k; j <= half; ++j) {
          even = even + load_lanes(sums + (j - 1) * kUnit<C>) * pass.roots[2 * index];
          odd = odd + load_lanes(differences + (j - 1) * kUnit<C>) * pass.roots[2 * index + 1];
          index += k;
          if (index >= radix) index -= radix;
        }
        put(q, k, even + odd.times_minus_i());
        put(q, radix - k, even - odd.times_minus_i());
      }
    }
  }
}

template <Place kPlace, class C, class Load, class Store>
void run_any_pass(const FftPass<C>& pass, const Load& load, const Store& store, C* work) {
  switch (pass.radix) {
    case 1: return run_pass<1, kPlace>(pass, load, store);
    case 2: return run_pass<2, kPlace>(pass, load, store);
    case 3: return run_pass<3, kPlace>(pass, load, store);
    case 4: return run_pass<4, kPlace>(pass, load, store);
    case 5: return run_pass<5, kPlace>(pass, load, store);
    case 7: return run_pass<7, kPlace>(pass, load, store);
    case 8: return run_pass<8, kPlace>(pass, load, store);
    case 16: return run_pass<16, kPlace>(pass, load, store);
    default: return run_odd_pass(pass, load, store, work);
  }
}

template <class C>
struct LoadUnits {
  const C* from;
  int64_t step = kUnit<C>;
  CSSM_INLINE Lanes<C> operator()(int64_t j) const { return load_lanes(from + j * step); }
  template <int R, bool kFirst>
  CSSM_INLINE SpacedUnits<const C> at(int64_t first, int64_t jump) const {
    return {from + first * step, jump * step};
  }
};
template <class C>
struct StoreUnits {
  C* to;
  int64_t step = kUnit<C>;
  CSSM_INLINE void operator()(int64_t k, Lanes<C> value) const { store_lanes(to + k * step, value); }
  CSSM_INLINE SpacedUnits<C> at(int64_t first, int64_t jump) const { return {to + first * step, jump * step}; }
};

template <class C, class Load, class Store>
void fft_in_passes(const FftTable<C>& table, const Load& load, const Store& store, C* scratch) {
  C *from = scratch, *to = scratch + table.n * kUnit<C>;
  C* const work = scratch + 2 * table.n * kUnit<C>;
  const int64_t last = table.num_passes - 1;
  run_any_pass<Place::kFirst>(table.passes[0], load, StoreUnits<C>{from}, work);
  for (int64_t i = 1; i < last; ++i) {
    run_any_pass<Place::kInner>(table.passes[i], LoadUnits<C>{from}, StoreUnits<C>{to}, work);
    C* const swapped = from;
    from = to;
    to = swapped;
  }
  run_any_pass<Place::kLast>(table.passes[last], LoadUnits<C>{from}, store, work);
}

// The same with real and imaginary parts swapped.
template <class C>
struct SpacedSwapped {
  C* first;
  int64_t jump;
  CSSM_INLINE Lanes<std::remove_const_t<C>> get(int64_t j) const {
    const auto value = load_lanes<std::remove_const_t<C>>(first + j * jump);
    return {value.im, value.re};
  }
  CSSM_INLINE void put(int64_t j, Lanes<C> value) const { store_lanes(first + j * jump, Lanes<C>{value.im, value.re}); }
};
template <class C>
struct LoadSwapped {
  const C* from;
  CSSM_INLINE Lanes<C> operator()(int64_t j) const { return SpacedSwapped<const C>{from, kUnit<C>}.get(j); }
  template <int R, bool kFirst>
  CSSM_INLINE SpacedSwapped<const C> at(int64_t first, int64_t jump) const {
    return {from + first * kUnit<C>, jump * kUnit<C>};
  }
};
template <class C>
struct StoreSwapped {
  C* to;
  CSSM_INLINE void operator()(int64_t k, Lanes<C> value) const { at(k, 0).put(0, value); }
  CSSM_INLINE SpacedSwapped<C> at(int64_t first, int64_t jump) const {
    return {to + first * kUnit<C>, jump * kUnit<C>};
  }
};

// X_k = c_k sum_j (x_j c_j) conj(c)_{k-j}, c the chirp: the sum is a circular convolution.
template <class C, class Load, class Store>
void fft_by_convolution(const FftTable<C>& table, const Load& load, const Store& store, C* scratch) {
  const FftTable<C>& inner = *table.convolution;
  C* const values = scratch;
  C* const inner_scratch = scratch + inner.n * kUnit<C>;
  for (int64_t j = 0; j < table.n; ++j) {
    store_lanes(values + j * kUnit<C>, load(j).times(table.chirp[2 * j], table.chirp[2 * j + 1]));
  }
  for (int64_t j = table.n; j < inner.n; ++j) store_lanes(values + j * kUnit<C>, Lanes<C>{});
  fft_in_passes(inner, LoadUnits<C>{values}, StoreUnits<C>{values}, inner_scratch);
  for (int64_t j = 0; j < inner.n; ++j) {
    C* const at = values + j * kUnit<C>;
    store_lanes(at, load_lanes(at).times(table.filter[2 * j], table.filter[2 * j + 1]));
  }
  fft_in_passes(inner, LoadSwapped<C>{values}, StoreSwapped<C>{values}, inner_scratch);
  for (int64_t k = 0; k < table.n; ++k) {
    store(k, load_lanes(values + k * kUnit<C>).times(table.chirp[2 * k], table.chirp[2 * k + 1]));
  }
}

template <class C, class Load, class Store>
void fft(const FftTable<C>& table, const Load& load, const Store& store, C* scratch) {
  if (table.convolution) {
    fft_by_convolution(table, load, store, scratch);
  } else {
    fft_in_passes(table, load, store, scratch);
  }
}

}  // namespace CSSM_ISA
}  // namespace cssm
