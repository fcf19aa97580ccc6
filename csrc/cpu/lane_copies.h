// Copies between arrays in memory and tiles. Included only by translation units compiled once per instruction set.
#pragma once

#include "cpu/lane_values.h"

namespace cssm {
namespace CSSM_ISA {

template <class S, class C>
inline C widened_element(const S* p) {
  return load<C, 1>(p)[0];
}
template <class C, class S>
inline void narrow_element(S* p, C value) {
  store<C, 1>(p, Vec<C, 1>{value});
}

template <class V, int... I>
inline V evens(V a, V b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I)...);
}
template <class V, int... I>
inline V odds(V a, V b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I + 1)...);
}
template <class V, int... I>
inline V interleave_low(V a, V b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (I % 2 ? int(sizeof...(I)) + I / 2 : I / 2)...);
}
template <class V, int... I>
inline V interleave_high(V a, V b, std::integer_sequence<int, I...>) {
  constexpr int n = sizeof...(I);
  return __builtin_shufflevector(a, b, (I % 2 ? n + n / 2 + I / 2 : n / 2 + I / 2)...);
}

// Calls body(offset in the array, offset in the tile) for each run. Elements of the array are `parts` scalars.
template <class Body>
inline void for_each_run(const LaneRuns& r, int parts, Body&& body) {
  for (int64_t t = 0; t < r.steps; ++t) {
    for (int64_t i = 0; i < r.rows; ++i) {
      for (int64_t j = 0; j < r.columns; ++j) {
        body((t * r.array.step + i * r.array.row + j * r.array.column) * parts,
             t * r.tile.step + i * r.tile.row + j * r.tile.column);
      }
    }
  }
}

// Arrays of S, complex or real, and tiles of C, complex where kComplexTile.
template <class S, class C, bool kComplex, bool kComplexTile>
struct LaneCopy {
  static constexpr int kParts = kComplex ? 2 : 1;
  static constexpr int W = kLanes<C>;
  using Lanes = std::make_integer_sequence<int, W>;

  static void gather(const void* array, void* tile, const LaneRuns& r) {
    for_each_run(r, kParts, [&](int64_t from, int64_t to) {
      gather_run(static_cast<const S*>(array) + from, static_cast<C*>(tile) + to, r);
    });
  }
  static void scatter(const void* tile, void* array, const LaneRuns& r) {
    for_each_run(r, kParts, [&](int64_t to, int64_t from) {
      S* const out = static_cast<S*>(array) + to;
      const bool aligned = reinterpret_cast<uintptr_t>(out) % kVectorBytes == 0;
      if (sizeof(S) == sizeof(C) && r.stream && r.array.lane == 1 && aligned) {
        scatter_run<sizeof(S) == sizeof(C)>(static_cast<const C*>(tile) + from, out, r);
      } else {
        scatter_run<false>(static_cast<const C*>(tile) + from, out, r);
      }
    });
    if (r.stream) streaming_fence();
  }

 private:
  static void gather_run(const S* from, C* re, const LaneRuns& r) {
    C* const im = re + r.plane;
    const int64_t n = r.lanes, stride = r.array.lane * kParts;
    if (stride == 0) {
      const C value = widened_element<S, C>(from);
      for (int64_t i = 0; i < n; ++i) re[i] = value;
      if constexpr (kComplexTile) {
        const C imaginary = kComplex ? widened_element<S, C>(from + kParts - 1) : C(0);
        for (int64_t i = 0; i < n; ++i) im[i] = imaginary;
      }
      return;
    }
    int64_t i = 0;
    if (r.array.lane == 1) {
      for (; i + W <= n; i += W) {
        if constexpr (kComplex) {
          const auto a = load<C, W>(from + 2 * i), b = load<C, W>(from + 2 * i + W);
          store<C, W>(re + i, evens(a, b, Lanes{}));
          store<C, W>(im + i, odds(a, b, Lanes{}));
        } else {
          store<C, W>(re + i, load<C, W>(from + i));
          if constexpr (kComplexTile) store<C, W>(im + i, Vec<C, W>{});
        }
      }
    }
    for (; i < n; ++i) {
      re[i] = widened_element<S, C>(from + i * stride);
      if constexpr (kComplexTile) im[i] = kComplex ? widened_element<S, C>(from + i * stride + kParts - 1) : C(0);
    }
  }

  template <bool kStream>
  static void put(S* to, Vec<C, W> value) {
    if constexpr (kStream) {
      store_streaming<C, W>(to, value);
    } else {
      store<C, W>(to, value);
    }
  }

  template <bool kStream>
  static void scatter_run(const C* re, S* to, const LaneRuns& r) {
    const C* const im = re + r.plane;
    const int64_t n = r.lanes, stride = r.array.lane * kParts;
    int64_t i = 0;
    if (r.array.lane == 1) {
      for (; i + W <= n; i += W) {
        if constexpr (kComplex) {
          const auto a = load<C, W>(re + i), b = load<C, W>(im + i);
          put<kStream>(to + 2 * i, interleave_low(a, b, Lanes{}));
          put<kStream>(to + 2 * i + W, interleave_high(a, b, Lanes{}));
        } else {
          put<kStream>(to + i, load<C, W>(re + i));
        }
      }
    }
    for (; i < n; ++i) {
      narrow_element<C>(to + i * stride, re[i]);
      if constexpr (kComplex) narrow_element<C>(to + i * stride + 1, im[i]);
    }
  }
};

template <class C>
inline void gather_flags(const uint8_t* array, void* tile, const LaneRuns& r) {
  for_each_run(r, 1, [&](int64_t from, int64_t to) {
    C* const flags = static_cast<C*>(tile) + to;
    for (int64_t i = 0; i < r.lanes; ++i) flags[i] = array[from + i * r.array.lane] ? C(1) : C(0);
  });
}

template <class C>
inline double sum_of(const C* values, int64_t n) {
  constexpr int W = kLanes<C>;
  Vec<C, W> sums{};
  int64_t i = 0;
  for (; i + W <= n; i += W) sums += load<C, W>(values + i);
  double sum = 0;
  for (int k = 0; k < W; ++k) sum += sums[k];
  for (; i < n; ++i) sum += values[i];
  return sum;
}

template <class C, bool kComplex>
inline void add_to_sums(const void* tile, double* sums, const LaneRuns& r) {
  constexpr int kParts = kComplex ? 2 : 1;
  for_each_run(r, kParts, [&](int64_t to, int64_t from) {
    for (int part = 0; part < kParts; ++part) {
      const C* const values = static_cast<const C*>(tile) + from + part * r.plane;
      double* const sum = sums + to + part;
      if (r.array.lane == 0) {
        *sum += sum_of(values, r.lanes);
      } else {
        for (int64_t i = 0; i < r.lanes; ++i) sum[i * r.array.lane * kParts] += values[i];
      }
    }
  });
}

}  // namespace CSSM_ISA
}  // namespace cssm
