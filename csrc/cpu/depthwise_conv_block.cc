#include "cpu/depthwise_conv_block.h"

#include "common/simd.h"

#define CSSM_INLINE __attribute__((always_inline)) inline
#define CSSM_INLINE_BODY __attribute__((always_inline))  // of a lambda

namespace cssm {
namespace CSSM_ISA {
namespace {

template <int N>
using Index = std::integral_constant<int, N>;

// body(Index<0>) ... body(Index<N - 1>), so that arrays indexed by them can live in registers.
template <class Body, int... I>
CSSM_INLINE void unrolled(Body&& body, std::integer_sequence<int, I...>) {
  (body(Index<I>{}), ...);
}
template <int N, class Body>
CSSM_INLINE void unrolled(Body&& body) {
  unrolled(body, std::make_integer_sequence<int, N>{});
}

// Calls body(channel, Index<lanes>, fresh) over vectors as wide as there are channels for. The last one is moved back to
// fit, and meets some channels again: those from `fresh` on are new.
template <class C, class Body>
inline void for_each_vector(int64_t channels, Body&& body) {
  constexpr int kWide = kVectorBytes / sizeof(C), kQuad = 16 / sizeof(C);
  const auto cover = [&](auto lanes) {
    for (int64_t c = 0; c < channels; c += lanes) body(c + lanes <= channels ? c : channels - lanes, lanes, c);
  };
  if (channels >= kWide) return cover(Index<kWide>{});
  if (channels >= kQuad) return cover(Index<kQuad>{});
  cover(Index<1>{});
}

constexpr int kMostTaps = 4;

// Calls body(tap, Index<count>) for kMostTaps taps at a time, then for the rest.
template <class Body>
inline void for_each_taps(int64_t taps, Body&& body) {
  int64_t l = 0;
  for (; l + kMostTaps <= taps; l += kMostTaps) body(l, Index<kMostTaps>{});
  switch (taps - l) {
    case 3: return body(l, Index<3>{});
    case 2: return body(l, Index<2>{});
    case 1: return body(l, Index<1>{});
  }
}

// Columns worked on at once: with four taps their sums, the taps and a pixel fit in 16 registers.
constexpr int kColumns = 8;
constexpr int kPixels = kColumns + kMostTaps - 1;  // that they meet
// Streaming parts of a line, the others much later, costs more than it saves.
constexpr int kCacheLine = 64;

// Lanes of the pixels `begin` to `end` of a few met one after the other; the others lie outside the frame.
template <class C>
struct Pixels {
  const C* row;
  int64_t first, step;  // pixel j is at (first + j) * step
  int64_t begin, end;
};

template <class S, class C, int V>
struct Depthwise {
  static constexpr bool kDirect = std::is_same_v<S, C>;

  // Pixels first to first + count of a row.
  static Pixels<C> pixels(const S* row, int64_t channels, int64_t first, int64_t count, int64_t width, C* widened) {
    const int64_t begin = first < 0 ? -first : 0, end = first + count > width ? width - first : count;
    if constexpr (kDirect) {
      return {row, first, channels, begin, end};
    } else {
      widen(row + first * channels, channels, begin, end, widened);
      return {widened, 0, V, begin, end};
    }
  }
  static __attribute__((noinline)) void widen(const S* from, int64_t channels, int64_t begin, int64_t end, C* to) {
    for (int64_t j = begin; j < end; ++j) store<C, V>(to + j * V, load<C, V>(from + j * channels));
  }

  // Calls body(j, pixel j), those outside left out. Of halves the guarded loop serves all: two would be much code.
  template <int kCount, class Body>
  static CSSM_INLINE void for_each_pixel(const Pixels<C>& x, Body&& body) {
    if (kDirect && x.begin == 0 && x.end == kCount) {
      unrolled<kCount>([&](auto j) CSSM_INLINE_BODY { body(j, load<C, V>(x.row + (x.first + j) * x.step)); });
    } else {
      unrolled<kCount>([&](auto j) CSSM_INLINE_BODY {
        if (j >= x.begin && j < x.end) body(j, load<C, V>(x.row + (x.first + j) * x.step));
      });
    }
  }

  // Outputs w to w + kColumns, of which `count` are stored.
  static void convolve_block(const ConvolveRow& b, int64_t c, int64_t w, int64_t count) {
    alignas(kVectorBytes) C widened[kPixels * V];
    Vec<C, V> sums[kColumns];
    Vec<C, V> bias{};
    if (b.bias) bias = load<C, V>(reinterpret_cast<const C*>(b.bias) + c);
    unrolled<kColumns>([&](auto i) { sums[i] = bias; });
    for (int64_t r = 0; r < b.rows; ++r) {
      const S* const row = reinterpret_cast<const S*>(b.x[r]) + c;
      const C* const kernel = reinterpret_cast<const C*>(b.kernel[r]) + c;
      for_each_taps(b.taps, [&](int64_t tap, auto taps) CSSM_INLINE_BODY {
        constexpr int kTaps = taps, kMet = kColumns + kTaps - 1;
        Vec<C, V> k[kTaps];
        unrolled<kTaps>([&](auto l) { k[l] = load<C, V>(kernel + (tap + l) * b.channels); });
        const Pixels<C> x = pixels(row, b.channels, w + tap - b.offset, kMet, b.in_width, widened);
        for_each_pixel<kMet>(x, [&](auto j, Vec<C, V> value) CSSM_INLINE_BODY {
          unrolled<kTaps>([&](auto l) CSSM_INLINE_BODY {
            constexpr int i = j - l;
            if constexpr (i >= 0 && i < kColumns) sums[i] = k[l] * value + sums[i];
          });
        });
      });
    }
    S* const y = reinterpret_cast<S*>(b.y) + w * b.channels + c;
    if constexpr (kDirect && V * sizeof(C) == kCacheLine) {
      if (b.stream) return put(count, [&](auto i) { store_streaming<C, V>(y + i * b.channels, sums[i]); });
    }
    put(count, [&](auto i) { store<C, V>(y + i * b.channels, sums[i]); });
  }

  template <class Store>
  static CSSM_INLINE void put(int64_t count, Store&& store_column) {
    unrolled<kColumns>([&](auto i) {
      if (i < count) store_column(i);
    });
  }

  static void convolve(const ConvolveRow& b, int64_t c) {
    for (int64_t w = b.begin; w < b.end; w += kColumns) convolve_block(b, c, w, b.end - w);
  }

  // Enough sums of the same tap that additions need not wait for each other, and few enough for 16 registers.
  static constexpr int chains(int taps) { return taps == 1 ? 8 : taps == 2 ? 4 : taps == 3 ? 3 : 2; }

  template <int kTaps>
  static void correlate_taps(const CorrelateRows& b, const RowPairs& p, int64_t c, int64_t tap, int64_t fresh) {
    constexpr int kChains = chains(kTaps), kMet = kColumns + kTaps - 1;
    alignas(kVectorBytes) C widened_x[kPixels * V], widened_g[kColumns * V];
    Vec<C, V> sums[kChains][kTaps] = {};
    for (int64_t r = 0; r < p.count; ++r) {
      const S* const x_row = reinterpret_cast<const S*>(p.x[r]) + c;
      const S* const g_row = reinterpret_cast<const S*>(p.g[r]) + c;
      for (int64_t w = b.begin; w < b.end; w += kColumns) {
        const Pixels<C> g = pixels(g_row, b.channels, w, kColumns, b.end, widened_g);
        Vec<C, V> ct[kColumns] = {};
        for_each_pixel<kColumns>(g, [&](auto i, Vec<C, V> value) CSSM_INLINE_BODY { ct[i] = value; });
        const Pixels<C> x = pixels(x_row, b.channels, w + tap - b.offset, kMet, b.in_width, widened_x);
        for_each_pixel<kMet>(x, [&](auto j, Vec<C, V> value) CSSM_INLINE_BODY {
          unrolled<kTaps>([&](auto l) CSSM_INLINE_BODY {
            constexpr int i = j - l;
            if constexpr (i >= 0 && i < kColumns) sums[i % kChains][l] = ct[i] * value + sums[i % kChains][l];
          });
        });
      }
    }
    unrolled<kTaps>([&](auto l) {
      Vec<C, V> sum = sums[0][l];
      unrolled<kChains - 1>([&](auto i) { sum += sums[i + 1][l]; });
      add(p.sums + (tap + l) * b.channels, c, fresh, sum);
    });
  }

  static __attribute__((noinline)) void add(double* sums, int64_t c, int64_t fresh, Vec<C, V> values) {
    for (int i = int(fresh - c); i < V; ++i) sums[c + i] += values[i];
  }

  static void sum_g(const CorrelateRows& b, int64_t c, int64_t fresh) {
    Vec<C, V> sum{};
    for (int64_t r = 0; r < b.rows; ++r) {
      const S* const g = reinterpret_cast<const S*>(b.g[r]) + c;
      for (int64_t w = b.begin; w < b.end; ++w) sum += load<C, V>(g + w * b.channels);
    }
    add(b.g_sums, c, fresh, sum);
  }

  static void correlate(const CorrelateRows& b, int64_t c, int64_t fresh) {
    for (int64_t i = 0; i < b.num_pairs; ++i) {
      for_each_taps(
          b.taps, [&](int64_t tap, auto taps) { correlate_taps<decltype(taps)::value>(b, b.pairs[i], c, tap, fresh); });
    }
    if (b.g_sums) sum_g(b, c, fresh);
  }
};

template <class S, class C>
void convolve(const ConvolveRow& row) {
  ConvolveRow b = row;
  b.stream = row.stream && reinterpret_cast<uintptr_t>(row.y) % kVectorBytes == 0 &&
             row.channels * sizeof(S) % kVectorBytes == 0;
  for_each_vector<C>(b.channels,
                     [&](int64_t c, auto lanes, int64_t) { Depthwise<S, C, decltype(lanes)::value>::convolve(b, c); });
}

template <class S, class C>
void correlate(const CorrelateRows& b) {
  for_each_vector<C>(b.channels, [&](int64_t c, auto lanes, int64_t fresh) {
    Depthwise<S, C, decltype(lanes)::value>::correlate(b, c, fresh);
  });
}

}  // namespace

const DepthwiseKernels& depthwise_kernels() {
  static constexpr DepthwiseKernels kernels = {{convolve<float, float>, convolve<double, double>, nullptr, nullptr,
                                                convolve<BFloat16, float>, convolve<Float16, float>},
                                               {correlate<float, float>, correlate<double, double>, nullptr, nullptr,
                                                correlate<BFloat16, float>, correlate<Float16, float>},
                                               streaming_fence};
  return kernels;
}

}  // namespace CSSM_ISA
}  // namespace cssm
