// Numbers of a vector of lanes, real or complex, and how they are read from and written to tiles. Included only by
// translation units compiled once per instruction set.
#pragma once

#include "common/simd.h"
#include "cpu/lane_kernels.h"

namespace cssm {
namespace CSSM_ISA {

template <class C>
inline constexpr int kLanes = kVectorBytes / sizeof(C);

template <class C, bool kComplex>
struct Value {
  using V = Vec<C, kLanes<C>>;
  V re{};
};
template <class C>
struct Value<C, true> {
  using V = Vec<C, kLanes<C>>;
  V re{}, im{};
};

template <class C, bool kComplex>
inline Value<C, kComplex> operator+(Value<C, kComplex> a, Value<C, kComplex> b) {
  if constexpr (kComplex) {
    return {a.re + b.re, a.im + b.im};
  } else {
    return {a.re + b.re};
  }
}
template <class C, bool kComplex>
inline Value<C, kComplex> operator-(Value<C, kComplex> a, Value<C, kComplex> b) {
  if constexpr (kComplex) {
    return {a.re - b.re, a.im - b.im};
  } else {
    return {a.re - b.re};
  }
}
template <class C, bool kComplex>
inline Value<C, kComplex> operator*(Value<C, kComplex> a, Value<C, kComplex> b) {
  if constexpr (kComplex) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  } else {
    return {a.re * b.re};
  }
}
template <class C, bool kComplex>
inline Value<C, kComplex> multiply_add(Value<C, kComplex> a, Value<C, kComplex> b, Value<C, kComplex> c) {
  if constexpr (kComplex) {
    return {c.re + a.re * b.re - a.im * b.im, c.im + a.re * b.im + a.im * b.re};
  } else {
    return {c.re + a.re * b.re};
  }
}
template <class C, bool kComplex>
inline Value<C, kComplex> scaled(typename Value<C, kComplex>::V factor, Value<C, kComplex> a) {
  a.re *= factor;
  if constexpr (kComplex) a.im *= factor;
  return a;
}
template <class C, bool kComplex>
inline Value<C, kComplex> conj(Value<C, kComplex> a) {
  if constexpr (kComplex) {
    return {a.re, -a.im};
  } else {
    return a;
  }
}

// Access to the tiles of a segment at the lanes from `lane` on.
template <class C, bool kComplex>
struct LaneAccess {
  using Number = Value<C, kComplex>;
  using V = typename Number::V;

  const LaneSegment& s;
  int64_t lane;

  Number read(const void* data, int64_t at) const {
    const C* p = static_cast<const C*>(data) + at + lane;
    if constexpr (kComplex) {
      return {load<C, kLanes<C>>(p), load<C, kLanes<C>>(p + s.plane)};
    } else {
      return {load<C, kLanes<C>>(p)};
    }
  }
  void write(void* data, int64_t at, Number value) const {
    C* p = static_cast<C*>(data) + at + lane;
    store<C, kLanes<C>>(p, value.re);
    if constexpr (kComplex) store<C, kLanes<C>>(p + s.plane, value.im);
  }

  static int64_t at(const LaneTile& tile, int64_t t, int64_t row, int64_t column) {
    return t * tile.step + row * tile.row + column * tile.column;
  }
  Number read(const LaneTile& tile, int64_t t, int64_t row = 0, int64_t column = 0) const {
    if (kComplex && tile.real) return {read_real(tile, t, row, column)};
    return read(tile.data, at(tile, t, row, column));
  }
  // A result, or a share of a gradient.
  void put(const LaneTile& tile, int64_t t, int64_t row, int64_t column, Number value) const {
    if (!tile.data) return;
    if (kComplex && tile.real) return put_real(tile, t, row, column, value.re);
    const int64_t to = at(tile, t, row, column);
    write(tile.data, to, tile.adds ? read(tile.data, to) + value : value);
  }

  // Of an operand that is real beside complex ones.
  V read_real(const LaneTile& tile, int64_t t, int64_t row, int64_t column) const {
    return load<C, kLanes<C>>(static_cast<const C*>(tile.data) + at(tile, t, row, column) + lane);
  }
  void put_real(const LaneTile& tile, int64_t t, int64_t row, int64_t column, V value) const {
    if (!tile.data) return;
    C* const to = static_cast<C*>(tile.data) + at(tile, t, row, column) + lane;
    store<C, kLanes<C>>(to, tile.adds ? load<C, kLanes<C>>(to) + value : value);
  }

  Number state(int64_t t, int64_t component) const { return read(s.state, t * s.state_step + component * s.state_row); }
  void put_state(int64_t t, int64_t component, Number value) const {
    write(s.state, t * s.state_step + component * s.state_row, value);
  }
  Number ct_state(int64_t component) const { return read(s.ct_state, component * s.state_row); }
  void put_ct_state(int64_t component, Number value) const { write(s.ct_state, component * s.state_row, value); }

  // Which lanes step t resets.
  auto is_reset(int64_t t) const {
    if (!s.reset.data) return V{} != V{};
    return load<C, kLanes<C>>(static_cast<const C*>(s.reset.data) + t * s.reset.step + lane) != V{};
  }
  // The value, or 0 in those lanes.
  Number kept(int64_t t, Number value) const {
    if (!s.reset.data) return value;
    const auto reset = is_reset(t);
    value.re = reset ? V{} : value.re;
    if constexpr (kComplex) value.im = reset ? V{} : value.im;
    return value;
  }
};

// Calls body(access, t) for every step, in order or from the last, and vector of lanes.
template <class C, bool kComplex, class Body>
CSSM_INLINE void for_each_step(const LaneSegment& s, bool backward, Body&& body) {
  for (int64_t i = 0; i < s.steps; ++i) {
    const int64_t t = backward ? s.steps - 1 - i : i;
    for (int64_t lane = 0; lane < s.lanes; lane += kLanes<C>) body(LaneAccess<C, kComplex>{s, lane}, t);
  }
}

}  // namespace CSSM_ISA
}  // namespace cssm
