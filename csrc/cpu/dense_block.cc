#include "cpu/dense_block.h"

#include "common/simd.h"

namespace cssm {
namespace CSSM_ISA {
namespace {

// A tile of sums is this many rows of two vectors; the rest of the registers hold what is multiplied.
constexpr int kTileRows = kVectorBytes == 64 ? 12 : 4;
constexpr int kTileVectors = 2;
constexpr int kRowsAhead = 4 * kTileRows;  // of those that are fetched

template <class C>
struct Dense {
  static constexpr int V = kVectorBytes / sizeof(C);
  static constexpr int64_t kTileWidth = kTileVectors * V;
  using Vector = Vec<C, V>;

  // Tiles of columns one after the other, each (1 + depth, kTileWidth), the bias first, zeros past the width.
  static int64_t tiles(int64_t width) { return (width + kTileWidth - 1) / kTileWidth; }
  static int64_t tile_size(int64_t depth) { return (1 + depth) * kTileWidth; }
  static int64_t packed_size(int64_t depth, int64_t width) { return tiles(width) * tile_size(depth); }

  static void pack(const DenseMatrix& m, void* packed) {
    const C *const w = static_cast<const C*>(m.w), *const bias = static_cast<const C*>(m.bias);
    C* to = static_cast<C*>(packed);
    for (int64_t first = 0; first < m.width; first += kTileWidth) {
      const int64_t here = m.width - first < kTileWidth ? m.width - first : kTileWidth;
      for (int64_t k = -1; k < m.depth; ++k, to += kTileWidth) {
        for (int64_t n = 0; n < kTileWidth; ++n) {
          const bool there = n < here && (k >= 0 || bias);
          to[n] = !there ? C(0) : k < 0 ? bias[first + n] : w[k * m.row_step + (first + n) * m.column_step];
        }
      }
    }
  }

  // Of the `count` lanes that there are, zero in the others; all of them if kWhole.
  template <bool kWhole>
  static CSSM_INLINE Vector load_lanes(const C* from, int64_t count) {
    if constexpr (kWhole) return load<C, V>(from);
    Vector value{};
    for (int64_t i = 0; i < V && i < count; ++i) value[i] = from[i];
    return value;
  }
  template <bool kWhole>
  static CSSM_INLINE void add_lanes(Vector value, double* to, int64_t count) {
    if constexpr (kWhole)
      return store<double, V>(to, load<double, V>(to) + __builtin_convertvector(value, Vec<double, V>));
    for (int64_t i = 0; i < V && i < count; ++i) to[i] += double(value[i]);
  }
  template <bool kWhole, bool kStream>
  static CSSM_INLINE void store_lanes(C* to, Vector value, int64_t count) {
    if constexpr (kWhole && kStream) return store_streaming<C, V>(to, value);
    if constexpr (kWhole) return store<C, V>(to, value);
    for (int64_t i = 0; i < V && i < count; ++i) to[i] = value[i];
  }

  // Calls tile(first, std::integral_constant<int, R>) for tiles of rows that cover [0, n), as large as they can be.
  template <class Tile>
  static CSSM_INLINE void for_tiles(int64_t n, Tile&& tile) {
    int64_t i = 0;
    for (; i + kTileRows <= n; i += kTileRows) tile(i, std::integral_constant<int, kTileRows>{});
    if constexpr (kTileRows > 8) {
      for (; i + 8 <= n; i += 8) tile(i, std::integral_constant<int, 8>{});
    }
    for (; i + 4 <= n; i += 4) tile(i, std::integral_constant<int, 4>{});
    for (; i < n; ++i) tile(i, std::integral_constant<int, 1>{});
  }

  // Calls tile(first, number of vectors, whether all of their lanes are columns) for tiles that cover [0, width).
  template <class Tile>
  static CSSM_INLINE void for_columns(int64_t width, Tile&& tile) {
    for (int64_t first = 0; first < width; first += kTileWidth) {
      const int64_t lanes = width - first;
      if (lanes >= kTileWidth) {
        tile(first, std::integral_constant<int, kTileVectors>{}, std::true_type{});
      } else if (lanes > V) {
        tile(first, std::integral_constant<int, kTileVectors>{}, std::false_type{});
      } else if (lanes == V) {
        tile(first, std::integral_constant<int, 1>{}, std::true_type{});
      } else {
        tile(first, std::integral_constant<int, 1>{}, std::false_type{});
      }
    }
  }

  // Sums are indexed by constants alone, which keeps them in registers.
  template <int R, int N, bool kWhole, bool kStream>
  static CSSM_INLINE void rows_tile(const DenseRows& b, int64_t row, const C* packed, int64_t column) {
    const int64_t depth = b.depth, width = b.width, at = row * width + column;
    const C* x = static_cast<const C*>(b.x) + row * depth;
    Vector sums[R][N];
    unrolled<N>([&](auto n) {
      const Vector bias = load<C, V>(packed + n * V);
      unrolled<R>([&](auto r) { sums[r][n] = bias; });
    });
    for (int64_t line = 0; line < R * depth; line += V) __builtin_prefetch(x + kRowsAhead * depth + line);
    const C* const end = x + depth;
    for (const C* w = packed + kTileWidth; x < end; ++x, w += kTileWidth) {
      Vector factors[N];
      unrolled<N>([&](auto n) { factors[n] = load<C, V>(w + n * V); });
      unrolled<R>([&](auto r) {
        const Vector value = broadcast<C, V>(x[r * depth]);
        unrolled<N>([&](auto n) { sums[r][n] += value * factors[n]; });
      });
    }
    if (const C* const minus = static_cast<const C*>(b.minus)) {
      unrolled<R>([&](auto r) {
        unrolled<N>(
            [&](auto n) { sums[r][n] -= load_lanes<kWhole>(minus + at + r * width + n * V, width - column - n * V); });
      });
    }
    C* const y = static_cast<C*>(b.y) + at;
    unrolled<R>([&](auto r) {
      unrolled<N>(
          [&](auto n) { store_lanes<kWhole, kStream>(y + r * width + n * V, sums[r][n], width - column - n * V); });
    });
  }

  // Only whole cache lines are worth storing past the caches.
  static bool whole_lines(const void* to, int64_t row) {
    return kVectorBytes == 64 && reinterpret_cast<uintptr_t>(to) % 64 == 0 && row * int64_t(sizeof(C)) % 64 == 0;
  }

  template <bool kStream>
  static void rows_to(const DenseRows& b) {
    const C* const packed = static_cast<const C*>(b.packed);
    for_tiles(b.rows, [&](int64_t row, auto size) {
      for_columns(b.width, [&](int64_t column, auto vectors, auto whole) {
        const C* const tile = packed + column / kTileWidth * tile_size(b.depth);
        rows_tile<size(), vectors(), whole(), kStream>(b, row, tile, column);
      });
    });
  }
  static void rows(const DenseRows& b) {
    if (b.stream && whole_lines(b.y, b.width)) {
      rows_to<true>(b);
    } else {
      rows_to<false>(b);
    }
  }

  static void subtract(int64_t numbers, const void* a, const void* b, void* to, bool stream) {
    const C *const from = static_cast<const C*>(a), *const less = static_cast<const C*>(b);
    C* const y = static_cast<C*>(to);
    const bool streams = stream && whole_lines(to, V);
    int64_t i = 0;
    for (; i + V <= numbers; i += V) {
      const Vector value = load<C, V>(from + i) - load<C, V>(less + i);
      streams ? store_streaming<C, V>(y + i, value) : store<C, V>(y + i, value);
    }
    for (; i < numbers; ++i) y[i] = from[i] - less[i];
  }

  template <int R, int N, bool kWhole>
  static CSSM_INLINE void sums_tile(const DenseSums& b, int64_t k, int64_t column) {
    const int64_t depth = b.depth, width = b.width, lanes = width - column;
    const C* x = static_cast<const C*>(b.x) + k;
    const C* ct = static_cast<const C*>(b.ct) + column;
    Vector sums[R][N] = {};
    for (int64_t row = b.rows; row > 0; --row, x += depth, ct += width) {
      Vector factors[N];
      unrolled<N>([&](auto n) { factors[n] = load_lanes<kWhole>(ct + n * V, lanes - n * V); });
      unrolled<R>([&](auto r) {
        const Vector value = broadcast<C, V>(x[r]);
        unrolled<N>([&](auto n) { sums[r][n] += value * factors[n]; });
      });
    }
    unrolled<R>([&](auto r) {
      unrolled<N>(
          [&](auto n) { add_lanes<kWhole>(sums[r][n], b.products + (k + r) * width + column + n * V, lanes - n * V); });
    });
  }

  template <int N, bool kWhole>
  static CSSM_INLINE void totals(const DenseSums& b, int64_t column) {
    const C* ct = static_cast<const C*>(b.ct) + column;
    const int64_t lanes = b.width - column;
    Vector sums[N] = {};
    for (int64_t row = 0; row < b.rows; ++row, ct += b.width) {
      for (int n = 0; n < N; ++n) sums[n] += load_lanes<kWhole>(ct + n * V, lanes - n * V);
    }
    for (int n = 0; n < N; ++n) add_lanes<kWhole>(sums[n], b.totals + column + n * V, lanes - n * V);
  }

  static void sums(const DenseSums& b) {
    for_columns(b.width, [&](int64_t column, auto vectors, auto whole) {
      if (b.totals) totals<vectors(), whole()>(b, column);
      if (!b.products) return;
      for_tiles(b.depth, [&](int64_t k, auto size) { sums_tile<size(), vectors(), whole()>(b, k, column); });
    });
  }

  static constexpr DenseKernelsOf kernels() { return {packed_size, pack, rows, sums, subtract}; }
};

}  // namespace

const DenseKernels& dense_kernels() {
  static constexpr DenseKernels kernels = {Dense<float>::kernels(), Dense<double>::kernels()};
  return kernels;
}

}  // namespace CSSM_ISA
}  // namespace cssm
