// How the first and last passes of a block's transforms read and write: rows of pixels, columns packed two rows a
// complex number, a step of the recurrence. Only for translation units compiled once an instruction set.
#pragma once

#include "cpu/fft.h"

namespace cssm {
namespace CSSM_ISA {

// (row 2i) + i (row 2i + 1), of real rows. Their pixels are too far apart for the hardware to foresee the rows to come.
template <class C>
struct LoadRows {
  const C *even, *odd;
  int64_t step, row_step;

  CSSM_INLINE Lanes<C> operator()(int64_t w) const { return at<1, true>(w, 0).get(0); }
  template <int R, bool kFirst>
  CSSM_INLINE LoadRows at(int64_t first, int64_t jump) const {
    return {even + first * step, odd ? odd + first * step : nullptr, jump * step, row_step};
  }
  CSSM_INLINE Lanes<C> get(int64_t j) const {
    constexpr int64_t kRowsAhead = 4;
    const C* const pixel = even + j * step;
    __builtin_prefetch(pixel + kRowsAhead * row_step);
    __builtin_prefetch(pixel + (kRowsAhead + 1) * row_step);
    return {load_part(pixel), odd ? load_part(odd + j * step) : Vec<C, kLanes<C>>{}};
  }
};

// The parts of an inverse transform by way of a forward one are swapped: here, and wherever "swapped" is said.
template <class C, bool kStream>
struct StoreRowsSwapped {
  C *even, *odd;
  int64_t step;
  C scale;

  CSSM_INLINE void operator()(int64_t w, Lanes<C> value) const { put(w, value); }
  CSSM_INLINE StoreRowsSwapped at(int64_t first, int64_t jump) const {
    return {even + first * step, odd ? odd + first * step : nullptr, jump * step, scale};
  }
  CSSM_INLINE void put(int64_t j, Lanes<C> value) const {
    put_part(even + j * step, value.im * scale);
    if (odd) put_part(odd + j * step, value.re * scale);
  }
  static CSSM_INLINE void put_part(C* to, Vec<C, kLanes<C>> part) {
    if constexpr (kStream) {
      store_streaming<C, kLanes<C>>(to, part);
    } else {
      store<C, kLanes<C>>(to, part);
    }
  }
};

// Row y of column f of the half-spectrum, doubled, from columns f and W - f of z.
template <class C>
struct LoadUnpacked {
  const C *z_f, *z_mirror;

  struct Row {
    const C *sum, *sum_mirror, *plus, *minus;
    int64_t jump;
    CSSM_INLINE Lanes<C> get(int64_t j) const {
      const int64_t at = j * jump;
      return {load_part(sum + at) + load_part(sum_mirror + at), load_part(plus + at) - load_part(minus + at)};
    }
  };
  struct AnyRows {
    const LoadUnpacked& from;
    int64_t first, jump;
    CSSM_INLINE Lanes<C> get(int64_t j) const { return from(first + j * jump); }
  };

  CSSM_INLINE Row row(int64_t y, int64_t jump) const {
    const int64_t at = (y >> 1) * kUnit<C>;
    const C *a = z_f + at, *b = z_mirror + at;
    constexpr int64_t kIm = kLanes<C>;
    return y & 1 ? Row{a + kIm, b + kIm, b, a, jump} : Row{a, b, a + kIm, b + kIm, jump};
  }
  CSSM_INLINE Lanes<C> operator()(int64_t y) const { return row(y, 0).get(0); }
  template <int R, bool kFirst>
  CSSM_INLINE AnyRows at(int64_t first, int64_t jump) const {
    return {*this, first, jump};
  }
};

// The same where rows are an even number apart: all even, or all odd.
template <class C>
struct LoadUnpackedEvenly : LoadUnpacked<C> {
  template <int R, bool kFirst>
  CSSM_INLINE typename LoadUnpacked<C>::Row at(int64_t first, int64_t jump) const {
    return this->row(first, jump / 2 * kUnit<C>);
  }
};

template <class C>
struct StorePackedSwapped {
  C *z_f, *z_mirror;
  bool edge;

  struct AnyRows {
    const StorePackedSwapped& to;
    int64_t first, jump;
    CSSM_INLINE void put(int64_t k, Lanes<C> value) const { to(first + k * jump, value); }
  };

  CSSM_INLINE void operator()(int64_t y, Lanes<C> value) const {
    const int64_t at = (y >> 1) * kUnit<C>;
    const bool odd = y & 1;
    if (edge) {
      store<C, kLanes<C>>(z_f + at + (odd ? kLanes<C> : 0), value.im);
    } else {
      store_lanes((odd ? z_mirror : z_f) + at, Lanes<C>{value.im, value.re});
    }
  }
  CSSM_INLINE AnyRows at(int64_t first, int64_t jump) const { return {*this, first, jump}; }
};

// The same where rows are an even number apart, in a column that is no edge.
template <class C>
struct StorePackedSwappedEvenly {
  C *z_f, *z_mirror;
  CSSM_INLINE void operator()(int64_t y, Lanes<C> value) const { at(y, 0).put(0, value); }
  CSSM_INLINE SpacedSwapped<C> at(int64_t first, int64_t jump) const {
    return {(first & 1 ? z_mirror : z_f) + (first >> 1) * kUnit<C>, jump / 2 * kUnit<C>};
  }
};

// Element w of (row 2i) + i (row 2i + 1), its rows' half-spectra continued to the whole width: a row's element W - f is
// the conjugate of its element f.
template <class C>
struct LoadPackedSwapped {
  const C* z;  // of pair i
  int64_t step, width;

  static CSSM_INLINE Lanes<C> combined(const C* even, const C* odd, bool mirrored) {
    const Lanes<C> a = load_lanes(even), b = load_lanes(odd);
    return mirrored ? Lanes<C>{b.re - a.im, a.re + b.im} : Lanes<C>{a.im + b.re, a.re - b.im};
  }
  CSSM_INLINE Lanes<C> operator()(int64_t w) const {
    const bool mirrored = 2 * w > width;
    const int64_t f = mirrored ? width - w : w;
    const C* const a = z + f * step;
    if (f == 0 || 2 * f == width) return {load_part(a + kLanes<C>), load_part(a)};
    return combined(a, z + (width - f) * step, mirrored);
  }

  struct AnyElements {
    const LoadPackedSwapped& from;
    int64_t first, jump;
    CSSM_INLINE Lanes<C> get(int64_t j) const { return from(first + j * jump); }
  };
  // R elements W / R apart, R even, none of them an edge: the first half lies in the half-spectrum.
  template <int R>
  struct InnerElements {
    const C *low, *high;
    int64_t jump;
    CSSM_INLINE Lanes<C> get(int64_t j) const {
      const C *element = low + j * jump, *mirror = high - j * jump;
      return 2 * j < R ? combined(element, mirror, false) : combined(mirror, element, true);
    }
  };
  template <int R, bool kFirst>
  CSSM_INLINE auto at(int64_t first, int64_t jump) const {
    if constexpr (R % 2 == 0 && !kFirst) {
      return InnerElements<R>{z + first * step, z + (width - first) * step, jump * step};
    } else {
      return AnyElements{*this, first, jump};
    }
  }
};

template <class C>
struct StoreStep {
  const C *k, *in;
  C* out;
  int64_t jump = kUnit<C>;

  CSSM_INLINE void operator()(int64_t y, Lanes<C> x) const { put(y, x); }
  CSSM_INLINE StoreStep at(int64_t first, int64_t step) const {
    const int64_t offset = first * kUnit<C>;
    return {k + offset, in + offset, out + offset, step * kUnit<C>};
  }
  CSSM_INLINE void put(int64_t y, Lanes<C> x) const {
    const Lanes<C> a = kept(load_lanes(k + y * jump)), s = kept(load_lanes(in + y * jump));
    store_lanes(out + y * jump, Lanes<C>{a.re * s.re + (x.re - a.im * s.im), a.re * s.im + (a.im * s.re + x.im)});
  }
};

template <class C>
struct StoreSum {
  C* sum;
  int64_t jump = kUnit<C>;

  CSSM_INLINE void operator()(int64_t y, Lanes<C> x) const { put(y, x); }
  CSSM_INLINE StoreSum at(int64_t first, int64_t step) const { return {sum + first * kUnit<C>, step * kUnit<C>}; }
  CSSM_INLINE void put(int64_t y, Lanes<C> x) const { store_lanes(sum + y * jump, load_lanes(sum + y * jump) + x); }
};

}  // namespace CSSM_ISA
}  // namespace cssm
