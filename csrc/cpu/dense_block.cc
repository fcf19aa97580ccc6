#include "cpu/dense_block.h"

#include "common/simd.h"

namespace cssm {
namespace CSSM_ISA {
namespace {

// A tile of sums is this many rows of two vectors; the rest of the registers hold what is multiplied.
constexpr int kTileRows = kVectorBytes == 64 ? 12 : 4;
constexpr int kTileVectors = 2;

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
  template <bool kWhole, class To>
  static CSSM_INLINE void add_lanes(Vector value, To* to, int64_t count) {
    C lanes[V];
    store<C, V>(lanes, value);
    for (int64_t i = 0; i < (kWhole ? V : count < V ? count : V); ++i) to[i] += To(lanes[i]);
  }
  template <bool kWhole>
  static CSSM_INLINE void store_lanes(C* to, Vector value, int64_t count) {
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

  template <int R, int N, bool kWhole>
  static CSSM_INLINE void rows_tile(const DenseRows& b, int64_t row, const C* packed, int64_t column) {
    const C* const x = static_cast<const C*>(b.x) + row * b.depth;
    Vector sums[R][N];
    for (int n = 0; n < N; ++n) {
      const Vector bias = load<C, V>(packed + n * V);
      for (int r = 0; r < R; ++r) sums[r][n] = bias;
    }
    const C* w = packed + kTileWidth;
    for (int64_t k = 0; k < b.depth; ++k, w += kTileWidth) {
      Vector factors[N];
      for (int n = 0; n < N; ++n) factors[n] = load<C, V>(w + n * V);
      for (int r = 0; r < R; ++r) {
        const Vector value = broadcast<C, V>(x[r * b.depth + k]);
        for (int n = 0; n < N; ++n) sums[r][n] += value * factors[n];
      }
    }
    const int64_t at = row * b.width + column;
    const C* const minus = b.minus ? static_cast<const C*>(b.minus) + at : nullptr;
    C* const y = static_cast<C*>(b.y) + at;
    for (int r = 0; r < R; ++r) {
      for (int n = 0; n < N; ++n) {
        const int64_t to = r * b.width + n * V, lanes = b.width - column - n * V;
        if (minus) sums[r][n] -= load_lanes<kWhole>(minus + to, lanes);
        store_lanes<kWhole>(y + to, sums[r][n], lanes);
      }
    }
  }

  static void rows(const DenseRows& b) {
    const C* const packed = static_cast<const C*>(b.packed);
    for_tiles(b.rows, [&](int64_t row, auto size) {
      for_columns(b.width, [&](int64_t column, auto vectors, auto whole) {
        const C* const tile = packed + column / kTileWidth * tile_size(b.depth);
        rows_tile<size(), vectors(), whole()>(b, row, tile, column);
      });
    });
  }

  template <int R, int N, bool kWhole>
  static CSSM_INLINE void sums_tile(const DenseSums& b, int64_t k, int64_t column) {
    const C* x = static_cast<const C*>(b.x) + k;
    const C* ct = static_cast<const C*>(b.ct) + column;
    const int64_t lanes = b.width - column;
    Vector sums[R][N] = {};
    for (int64_t row = 0; row < b.rows; ++row, x += b.depth, ct += b.width) {
      Vector factors[N];
      for (int n = 0; n < N; ++n) factors[n] = load_lanes<kWhole>(ct + n * V, lanes - n * V);
      for (int r = 0; r < R; ++r) {
        const Vector value = broadcast<C, V>(x[r]);
        for (int n = 0; n < N; ++n) sums[r][n] += value * factors[n];
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int n = 0; n < N; ++n)
        add_lanes<kWhole>(sums[r][n], b.products + (k + r) * b.width + column + n * V, lanes - n * V);
    }
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

  static constexpr DenseKernelsOf kernels() { return {packed_size, pack, rows, sums}; }
};

}  // namespace

const DenseKernels& dense_kernels() {
  static constexpr DenseKernels kernels = {Dense<float>::kernels(), Dense<double>::kernels()};
  return kernels;
}

}  // namespace CSSM_ISA
}  // namespace cssm
