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
#include "cpu/fft_butterflies.h"

namespace cssm {
namespace CSSM_ISA {

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
