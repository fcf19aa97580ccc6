#include "cpu/depthwise_conv_block.h"

#include "common/simd.h"

namespace cssm {
namespace CSSM_ISA {
namespace {

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

// In place, pixels are read where they are; else they are widened first, or, where there are fewer channels than lanes,
// filled up with zeros.
template <class S, class C, bool kInPlace>
struct Depthwise {
  static constexpr int V = kVectorBytes / sizeof(C);
  using Vector = Vec<C, V>;

  // Calls body(channel, fresh) for vectors of channels. The last one is moved back to fit, and meets some channels
  // again: those from `fresh` on are new. Of fewer channels than lanes the others are zero.
  template <class Body>
  static void for_each_vector(int64_t channels, Body&& body) {
    for (int64_t c = 0; c < channels; c += V) body(c + V <= channels || c == 0 ? c : channels - V, c);
  }

  template <class From>
  static CSSM_INLINE Vector load_lanes(const From* from, int64_t channels) {
    return kInPlace || channels >= V ? load<C, V>(from) : load_some(from, channels);
  }
  template <class From>
  static __attribute__((noinline)) Vector load_some(const From* from, int64_t channels) {
    Vector value{};
    for (int64_t i = 0; i < channels; ++i) value[i] = load<C, 1>(from + i)[0];
    return value;
  }

  // Pixels first to first + count of a row, copied unless in place.
  static Pixels<C> pixels(const S* row, int64_t channels, int64_t first, int64_t count, int64_t width, C* copied) {
    const int64_t begin = first < 0 ? -first : 0, end = first + count > width ? width - first : count;
    if constexpr (kInPlace) {
      return {row, first, channels, begin, end};
    } else {
      copy(row + first * channels, channels, begin, end, copied);
      return {copied, 0, V, begin, end};
    }
  }
  static __attribute__((noinline)) void copy(const S* from, int64_t channels, int64_t begin, int64_t end, C* to) {
    for (int64_t j = begin; j < end; ++j) store<C, V>(to + j * V, load_lanes(from + j * channels, channels));
  }

  // Calls body(j, pixel j), those outside left out. Of copies the guarded loop serves all: two would be much code.
  template <int kCount, class Body>
  static CSSM_INLINE void for_each_pixel(const Pixels<C>& x, Body&& body) {
    if (kInPlace && x.begin == 0 && x.end == kCount) {
      unrolled<kCount>([&](auto j) CSSM_INLINE_BODY { body(j, load<C, V>(x.row + (x.first + j) * x.step)); });
    } else {
      unrolled<kCount>([&](auto j) CSSM_INLINE_BODY {
        if (j >= x.begin && j < x.end) body(j, load<C, V>(x.row + (x.first + j) * x.step));
      });
    }
  }

  // Outputs w to w + kColumns, of which `count` are stored.
  static void convolve_block(const ConvolveRow& b, int64_t c, int64_t w, int64_t count) {
    alignas(kVectorBytes) C copied[kPixels * V];
    Vector sums[kColumns];
    const Vector bias = b.bias ? load_lanes(reinterpret_cast<const C*>(b.bias) + c, b.channels) : Vector{};
    unrolled<kColumns>([&](auto i) { sums[i] = bias; });
    for (int64_t r = 0; r < b.rows; ++r) {
      const S* const row = reinterpret_cast<const S*>(b.x[r]) + c;
      const C* const kernel = reinterpret_cast<const C*>(b.kernel[r]) + c;
      for_each_taps(b.taps, [&](int64_t tap, auto taps) CSSM_INLINE_BODY {
        constexpr int kTaps = taps, kMet = kColumns + kTaps - 1;
        Vector k[kTaps];
        unrolled<kTaps>([&](auto l) { k[l] = load_lanes(kernel + (tap + l) * b.channels, b.channels); });
        const Pixels<C> x = pixels(row, b.channels, w + tap - b.offset, kMet, b.in_width, copied);
        for_each_pixel<kMet>(x, [&](auto j, Vector value) CSSM_INLINE_BODY {
          for (int l = 0; l < kTaps; ++l) {
            const int i = j - l;
            if (i >= 0 && i < kColumns) sums[i] = k[l] * value + sums[i];
          }
        });
      });
    }
    S* const y = reinterpret_cast<S*>(b.y) + w * b.channels + c;
    if (!kInPlace && b.channels < V) {
      unrolled<kColumns>([&](auto i) { store<C, V>(copied + i * V, sums[i]); });
      return put_lanes(copied, count < kColumns ? count : kColumns, y, b.channels);
    }
    if constexpr (kInPlace && kVectorBytes == kCacheLine) {
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
  static __attribute__((noinline)) void put_lanes(const C* sums, int64_t count, S* y, int64_t channels) {
    for (int64_t i = 0; i < count; ++i, sums += V, y += channels) {
      for (int64_t c = 0; c < channels; ++c) store<C, 1>(y + c, load<C, 1>(sums + c));
    }
  }

  static void convolve(const ConvolveRow& row) {
    ConvolveRow b = row;
    b.stream = row.stream && reinterpret_cast<uintptr_t>(row.y) % kVectorBytes == 0 &&
               row.channels * sizeof(S) % kVectorBytes == 0;
    for_each_vector(b.channels, [&](int64_t c, int64_t) {
      for (int64_t w = b.begin; w < b.end; w += kColumns) convolve_block(b, c, w, b.end - w);
    });
  }

  // Enough sums of the same tap that additions need not wait for each other, and few enough for 16 registers.
  static constexpr int chains(int taps) { return taps == 1 ? 8 : taps == 2 ? 4 : taps == 3 ? 3 : 2; }

  template <int kTaps>
  static void correlate_taps(const CorrelateRows& b, const RowPairs& p, int64_t c, int64_t tap, int64_t fresh) {
    constexpr int kChains = chains(kTaps), kMet = kColumns + kTaps - 1;
    alignas(kVectorBytes) C copied_x[kPixels * V], copied_g[kColumns * V];
    Vector sums[kChains][kTaps] = {};
    for (int64_t r = 0; r < p.count; ++r) {
      const S* const x_row = reinterpret_cast<const S*>(p.x[r]) + c;
      const S* const g_row = reinterpret_cast<const S*>(p.g[r]) + c;
      for (int64_t w = b.begin; w < b.end; w += kColumns) {
        const Pixels<C> g = pixels(g_row, b.channels, w, kColumns, b.end, copied_g);
        Vector ct[kColumns] = {};
        for_each_pixel<kColumns>(g, [&](auto i, Vector value) CSSM_INLINE_BODY { ct[i] = value; });
        const Pixels<C> x = pixels(x_row, b.channels, w + tap - b.offset, kMet, b.in_width, copied_x);
        for_each_pixel<kMet>(x, [&](auto j, Vector value) CSSM_INLINE_BODY {
          for (int l = 0; l < kTaps; ++l) {
            const int i = j - l;
            if (i >= 0 && i < kColumns) sums[i % kChains][l] = ct[i] * value + sums[i % kChains][l];
          }
        });
      }
    }
    unrolled<kTaps>([&](auto l) {
      Vector sum = sums[0][l];
      unrolled<kChains - 1>([&](auto i) { sum += sums[i + 1][l]; });
      add(p.sums + (tap + l) * b.channels, c, fresh, b.channels, sum);
    });
  }

  static __attribute__((noinline)) void add(double* sums, int64_t c, int64_t fresh, int64_t channels, Vector values) {
    for (int64_t i = fresh; i < channels && i < c + V; ++i) sums[i] += values[i - c];
  }

  static void sum_g(const CorrelateRows& b, int64_t c, int64_t fresh) {
    Vector sum{};
    for (int64_t r = 0; r < b.rows; ++r) {
      const S* const g = reinterpret_cast<const S*>(b.g[r]) + c;
      for (int64_t w = b.begin; w < b.end; ++w) sum += load_lanes(g + w * b.channels, b.channels);
    }
    add(b.g_sums, c, fresh, b.channels, sum);
  }

  static void correlate(const CorrelateRows& b) {
    for_each_vector(b.channels, [&](int64_t c, int64_t fresh) {
      for (int64_t i = 0; i < b.num_pairs; ++i) {
        for_each_taps(b.taps, [&](int64_t tap, auto taps) {
          correlate_taps<decltype(taps)::value>(b, b.pairs[i], c, tap, fresh);
        });
      }
      if (b.g_sums) sum_g(b, c, fresh);
    });
  }
};

template <class S, class C, class Call>
void in_place_or_not(int64_t channels, Call&& call) {
  if constexpr (std::is_same_v<S, C>) {
    if (channels >= Depthwise<S, C, true>::V) return call(Depthwise<S, C, true>{});
  }
  call(Depthwise<S, C, false>{});
}

template <class S, class C>
void convolve(const ConvolveRow& b) {
  in_place_or_not<S, C>(b.channels, [&](auto depthwise) { depthwise.convolve(b); });
}

template <class S, class C>
void correlate(const CorrelateRows& b) {
  in_place_or_not<S, C>(b.channels, [&](auto depthwise) { depthwise.correlate(b); });
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
