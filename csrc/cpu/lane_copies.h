// Copies between arrays in memory and tiles. Included only by translation units compiled once per instruction set.
#pragma once

#include "cpu/lane_transpose.h"
#include "cpu/lane_values.h"

namespace cssm {
namespace CSSM_ISA {

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

// Arrays of S and tiles of C, complex or real. kNegated: what is copied changes its sign.
template <class S, class C, bool kComplex, bool kNegated = false>
struct LaneCopy {
  static constexpr int kParts = kComplex ? 2 : 1;
  static constexpr int W = kLanes<C>;
  static constexpr bool kCanStream = sizeof(S) == sizeof(C);
  // A block's share of a step is short, and far from that of the next: the hardware does not foresee it.
  static constexpr int64_t kPrefetchSteps = 4;
  static constexpr int kIntoL2 = 2;

  static void gather(const void* array, void* tile, const LaneRuns& r) {
    if (with_packed(r, [&](auto components) { gather_packed<components>(array, tile, r); })) return;
    for_each_run(r, kParts, [&](int64_t from, int64_t to) {
      const S* const first = static_cast<const S*>(array) + from;
      __builtin_prefetch(first + kPrefetchSteps * r.array.step * kParts);
      gather_run(first, static_cast<C*>(tile) + to, r);
    });
  }

  static void scatter(const void* tile, void* array, const LaneRuns& r) {
    if (!with_packed(r, [&](auto components) { scatter_packed<components>(tile, array, r); })) {
      for_each_run(r, kParts, [&](int64_t to, int64_t from) {
        scatter_run(static_cast<const C*>(tile) + from, static_cast<S*>(array) + to, r);
      });
    }
    if (r.stream) streaming_fence();
  }

 private:
  // Calls body(number of components) where each lane's follow one another in memory and are few.
  template <class Body>
  static bool with_packed(const LaneRuns& r, Body&& body) {
    const int64_t components = r.rows * r.columns;
    const bool rows_packed = r.rows == 1 || r.array.row == r.columns;
    const bool columns_packed = r.columns == 1 || r.array.column == 1;
    if (r.array.lane != components || !rows_packed || !columns_packed) return false;
    switch (components) {
      case 1: return body(std::integral_constant<int, 1>{}), true;
      case 2: return body(std::integral_constant<int, 2>{}), true;
      case 3: return body(std::integral_constant<int, 3>{}), true;
      case 4: return body(std::integral_constant<int, 4>{}), true;
      case 8: return body(std::integral_constant<int, 8>{}), true;
      case 9: return body(std::integral_constant<int, 9>{}), true;
      case 16: return body(std::integral_constant<int, 16>{}), true;
      default: return false;
    }
  }

  static int64_t component_at(const LaneRuns& r, int64_t i) {
    return i / r.columns * r.tile.row + i % r.columns * r.tile.column;
  }

  template <int kComponents>
  static void gather_packed(const void* array, void* tile, const LaneRuns& r) {
    constexpr int P = kComponents * kParts;
    for (int64_t t = 0; t < r.steps; ++t) {
      const S* const from = static_cast<const S*>(array) + t * r.array.step * kParts;
      const S* const ahead = from + kPrefetchSteps * r.array.step * kParts;
      C* const to = static_cast<C*>(tile) + t * r.tile.step;
      int64_t lane = 0;
      for (; lane + W <= r.lanes; lane += W) {
        Vec<C, W> packed[P], planes[P];
        for (int p = 0; p < P; ++p) {
          __builtin_prefetch(ahead + lane * P + p * W, 0, kIntoL2);
          packed[p] = with_sign<W>(load<C, W>(from + lane * P + p * W));
        }
        take_apart<C, W, P>(packed, planes);
        for (int i = 0; i < kComponents; ++i) {
          C* const component = to + component_at(r, i) + lane;
          store<C, W>(component, planes[i * kParts]);
          if constexpr (kComplex) store<C, W>(component + r.plane, planes[i * kParts + 1]);
        }
      }
      for (; lane < r.lanes; ++lane) {
        for (int i = 0; i < kComponents; ++i) {
          gather_element(from + (lane * kComponents + i) * kParts, to + component_at(r, i) + lane, r.plane);
        }
      }
    }
  }

  template <int kComponents>
  static void scatter_packed(const void* tile, void* array, const LaneRuns& r) {
    constexpr int P = kComponents * kParts;
    for (int64_t t = 0; t < r.steps; ++t) {
      const C* const from = static_cast<const C*>(tile) + t * r.tile.step;
      S* const to = static_cast<S*>(array) + t * r.array.step * kParts;
      const bool stream = kCanStream && r.stream && reinterpret_cast<uintptr_t>(to) % kVectorBytes == 0;
      int64_t lane = 0;
      for (; lane + W <= r.lanes; lane += W) {
        Vec<C, W> packed[P], planes[P];
        for (int i = 0; i < kComponents; ++i) {
          const C* const component = from + component_at(r, i) + lane;
          planes[i * kParts] = load<C, W>(component);
          if constexpr (kComplex) planes[i * kParts + 1] = load<C, W>(component + r.plane);
        }
        put_together<C, W, P>(planes, packed);
        for (int p = 0; p < P; ++p) put(to + lane * P + p * W, with_sign<W>(packed[p]), stream);
      }
      for (; lane < r.lanes; ++lane) {
        for (int i = 0; i < kComponents; ++i) {
          scatter_element(from + component_at(r, i) + lane, to + (lane * kComponents + i) * kParts, r.plane);
        }
      }
    }
  }

  static void gather_run(const S* from, C* re, const LaneRuns& r) {
    if (r.array.lane == 0) {
      C element[2];
      gather_element(from, element, 1);
      for (int part = 0; part < kParts; ++part) fill_run(element[part], re + part * r.plane, r.lanes);
      return;
    }
    const int64_t stride = r.array.lane * kParts;
    for (int64_t i = 0; i < r.lanes; ++i) gather_element(from + i * stride, re + i, r.plane);
  }

  static void fill_run(C value, C* to, int64_t lanes) {
    int64_t i = 0;
    for (; i + W <= lanes; i += W) store<C, W>(to + i, broadcast<C, W>(value));
    for (; i < lanes; ++i) to[i] = value;
  }

  static void scatter_run(const C* re, S* to, const LaneRuns& r) {
    const int64_t stride = r.array.lane * kParts;
    for (int64_t i = 0; i < r.lanes; ++i) scatter_element(re + i, to + i * stride, r.plane);
  }

  static void gather_element(const S* from, C* re, int64_t plane) {
    *re = with_sign<1>(load<C, 1>(from))[0];
    if constexpr (kComplex) re[plane] = with_sign<1>(load<C, 1>(from + 1))[0];
  }
  static void scatter_element(const C* re, S* to, int64_t plane) {
    store<C, 1>(to, with_sign<1>(Vec<C, 1>{*re}));
    if constexpr (kComplex) store<C, 1>(to + 1, with_sign<1>(Vec<C, 1>{re[plane]}));
  }

  template <int kWidth>
  static Vec<C, kWidth> with_sign(Vec<C, kWidth> value) {
    return kNegated ? -value : value;
  }

  static void put(S* to, Vec<C, W> value, bool stream) {
    if constexpr (kCanStream) {
      if (stream) return store_streaming<C, W>(to, value);
    }
    store<C, W>(to, value);
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
  double sum = sum_of_lanes<C, W>(sums);
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
        __builtin_prefetch(sum + 4 * r.array.step * kParts, 1);
        *sum += sum_of(values, r.lanes);
      } else {
        for (int64_t i = 0; i < r.lanes; ++i) sum[i * r.array.lane * kParts] += values[i];
      }
    }
  });
}

}  // namespace CSSM_ISA
}  // namespace cssm
