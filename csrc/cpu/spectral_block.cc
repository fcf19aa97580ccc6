#include "cpu/spectral_block.h"

#include "cpu/spectral_passes.h"

namespace cssm {
namespace CSSM_ISA {
namespace {

// Parts to (re, im) pairs and back.
template <class V, int... I>
V low_pairs(V re, V im, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(re, im, (I / 2 + (I & 1) * int(sizeof...(I)))...);
}
template <class V, int... I>
V high_pairs(V re, V im, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(re, im, (int(sizeof...(I)) / 2 + I / 2 + (I & 1) * int(sizeof...(I)))...);
}
template <class V, int... I>
V even_elements(V low, V high, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(low, high, (2 * I)...);
}
template <class V, int... I>
V odd_elements(V low, V high, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(low, high, (2 * I + 1)...);
}

template <class C>
struct Spectral {
  static constexpr int L = kLanes<C>;
  static constexpr int64_t kU = kUnit<C>;
  using Shape = FrameShape<C>;
  using Indices = std::make_integer_sequence<int, L>;

  // Whether vectors a step apart are cache lines, which alone are worth storing past the caches.
  static bool whole_lines(const C* first, int64_t step) {
    return kVectorBytes == 64 && reinterpret_cast<uintptr_t>(first) % 64 == 0 && step * int64_t(sizeof(C)) % 64 == 0;
  }

  static int64_t mirror(const Shape& shape, int64_t f) { return f == 0 ? 0 : shape.width - f; }

  static void rows_forward(const Shape& shape, PairRange pairs, const C* rows, int64_t pixel_step, C* z, C* scratch) {
    const int64_t row_step = shape.width * pixel_step;
    for (int64_t i = pairs.begin; i < pairs.end; ++i, rows += 2 * row_step) {
      const C* const odd = 2 * i + 1 < shape.height ? rows + row_step : nullptr;
      fft(*shape.along_width, LoadRows<C>{rows, odd, pixel_step, row_step},
          StoreUnits<C>{z + i * kU, shape.z_step() * kU}, scratch);
    }
  }

  template <bool kStream>
  static void rows_inverse_to(const Shape& shape, PairRange pairs, const C* z, C scale, C* rows, int64_t pixel_step,
                              C* scratch) {
    const int64_t row_step = shape.width * pixel_step;
    for (int64_t i = pairs.begin; i < pairs.end; ++i, rows += 2 * row_step) {
      C* const odd = 2 * i + 1 < shape.height ? rows + row_step : nullptr;
      fft(*shape.along_width, LoadPackedSwapped<C>{z + i * kU, shape.z_step() * kU, shape.width},
          StoreRowsSwapped<C, kStream>{rows, odd, pixel_step, scale}, scratch);
    }
  }

  static void rows_inverse(const Shape& shape, PairRange pairs, const C* z, C scale, C* rows, int64_t pixel_step,
                           bool stream, C* scratch) {
    if (stream && whole_lines(rows, pixel_step)) {
      rows_inverse_to<true>(shape, pairs, z, scale, rows, pixel_step, scratch);
    } else {
      rows_inverse_to<false>(shape, pairs, z, scale, rows, pixel_step, scratch);
    }
  }

  // Rows that the first pass loads together are `groups` apart; those that the last one stores, `stride`.
  template <class Store>
  static void column(const Shape& shape, int64_t f, const C* z, const Store& store, C* scratch) {
    const int64_t step = shape.z_step() * kU;
    const LoadUnpacked<C> load{z + f * step, z + mirror(shape, f) * step};
    const FftTable<C>& table = *shape.along_height;
    if (!table.convolution && table.passes[0].groups % 2 == 0) {
      fft(table, LoadUnpackedEvenly<C>{load}, store, scratch);
    } else {
      fft(table, load, store, scratch);
    }
  }
  static void column_forward(const Shape& shape, int64_t f, const C* z, C* out, C* scratch) {
    column(shape, f, z, StoreUnits<C>{out}, scratch);
  }
  static void column_step(const Shape& shape, int64_t f, const C* z, const C* k, const C* in, C* out, C* scratch) {
    column(shape, f, z, StoreStep<C>{k, in, out}, scratch);
  }
  static void column_add(const Shape& shape, int64_t f, const C* z, C* sum, C* scratch) {
    column(shape, f, z, StoreSum<C>{sum}, scratch);
  }

  static void column_inverse(const Shape& shape, int64_t f, const C* column, C* z, C* scratch) {
    const int64_t step = shape.z_step() * kU;
    const StorePackedSwapped<C> store{z + f * step, z + mirror(shape, f) * step, shape.is_edge(f)};
    const FftTable<C>& table = *shape.along_height;
    if (!table.convolution && !store.edge && table.passes[table.num_passes - 1].stride % 2 == 0) {
      const StorePackedSwappedEvenly<C> evenly{store.z_f, store.z_mirror};
      fft(table, LoadSwapped<C>{column}, evenly, scratch);
      return;  // an even stride: an even height
    }
    fft(table, LoadSwapped<C>{column}, store, scratch);
    // The row that an odd height lacks: nothing of it may reach the one it is packed with.
    if (shape.height % 2) store(shape.height, Lanes<C>{});
  }

  static void pull_back(int64_t units, const C* k, const C* s, C* p, C* sum) {
    for (int64_t i = 0; i < units * kU; i += kU) {
      const Lanes<C> a = kept(load_lanes(k + i)), b = kept(load_lanes(p + i)), c = kept(load_lanes(s + i)),
                     d = load_lanes(sum + i);
      store_lanes(sum + i, Lanes<C>{b.re * c.re + (b.im * c.im + d.re), b.re * c.im + (d.im - b.im * c.re)});
      store_lanes(p + i, Lanes<C>{a.re * b.re + a.im * b.im, a.re * b.im - a.im * b.re});
    }
  }

  static void multiply(int64_t units, const C* a, const C* b, C* to) {
    for (int64_t i = 0; i < units * kU; i += kU) {
      const Lanes<C> v = kept(load_lanes(a + i)), w = kept(load_lanes(b + i));
      store_lanes(to + i, Lanes<C>{v.re * w.re - v.im * w.im, v.re * w.im + v.im * w.re});
    }
  }

  static void add(int64_t units, const C* from, C* to) {
    for (int64_t i = 0; i < units * kU; i += kU) store_lanes(to + i, load_lanes(to + i) + load_lanes(from + i));
  }

  static void load_column(int64_t units, const C* from, int64_t step, int64_t channels, PartScale<C> scale, C* column) {
    for (int64_t i = 0; i < units; ++i, from += step, column += kU) {
      C padded[kU] = {};
      const C* whole = from;
      if (channels < L) {
        for (int64_t c = 0; c < 2 * channels; ++c) padded[c] = from[c];
        whole = padded;
      }
      const auto low = load_part(whole), high = load_part(whole + L);
      store_lanes(column, Lanes<C>{even_elements(low, high, Indices{}) * scale.re,
                                   odd_elements(low, high, Indices{}) * scale.im});
    }
  }

  template <bool kStream>
  static void store_column_to(int64_t units, const C* column, PartScale<C> scale, C* to, int64_t step,
                              int64_t channels) {
    for (int64_t i = 0; i < units; ++i, to += step, column += kU) {
      const Lanes<C> value = load_lanes(column);
      const auto re = value.re * scale.re, im = value.im * scale.im;
      const auto low = low_pairs(re, im, Indices{}), high = high_pairs(re, im, Indices{});
      if constexpr (kStream) {
        store_streaming<C, L>(to, low);
        store_streaming<C, L>(to + L, high);
        continue;
      }
      C padded[kU];
      C* const whole = channels < L ? padded : to;
      store<C, L>(whole, low);
      store<C, L>(whole + L, high);
      if (channels < L) {
        for (int64_t c = 0; c < 2 * channels; ++c) to[c] = padded[c];
      }
    }
  }
  static void store_column(int64_t units, const C* column, PartScale<C> scale, C* to, int64_t step, int64_t channels,
                           bool stream) {
    const auto put = stream && channels == L && whole_lines(to, step) ? store_column_to<true> : store_column_to<false>;
    put(units, column, scale, to, step, channels);
  }

  template <class S>
  static void gather(const char* from, int64_t step, int64_t pixels, int64_t channels, C* to) {
    const S* pixel = reinterpret_cast<const S*>(from);
    for (int64_t i = 0; i < pixels; ++i, pixel += step, to += L) {
      if (channels == L) {
        store<C, L>(to, load<C, L>(pixel));
        continue;
      }
      for (int64_t c = 0; c < L; ++c) to[c] = c < channels ? load<C, 1>(pixel + c)[0] : C(0);
    }
  }

  template <class S>
  static void scatter(const C* from, int64_t pixels, int64_t channels, char* to, int64_t step) {
    S* pixel = reinterpret_cast<S*>(to);
    for (int64_t i = 0; i < pixels; ++i, pixel += step, from += L) {
      if (channels == L) {
        store<C, L>(pixel, load_part(from));
        continue;
      }
      for (int64_t c = 0; c < channels; ++c) store<C, 1>(pixel + c, load<C, 1>(from + c));
    }
  }

  static constexpr SpectralKernelsOf<C> kernels() {
    SpectralKernelsOf<C> k{L,
                           rows_forward,
                           rows_inverse,
                           streaming_fence,
                           column_forward,
                           column_step,
                           column_add,
                           column_inverse,
                           pull_back,
                           multiply,
                           add,
                           load_column,
                           store_column,
                           {gather<C>, nullptr, nullptr},
                           {scatter<C>, nullptr, nullptr}};
    if constexpr (sizeof(C) == sizeof(float)) {
      k.gather[kAsBF16] = gather<BFloat16>;
      k.gather[kAsF16] = gather<Float16>;
      k.scatter[kAsBF16] = scatter<BFloat16>;
      k.scatter[kAsF16] = scatter<Float16>;
    }
    return k;
  }
};

}  // namespace

const SpectralKernels& spectral_kernels() {
  static constexpr SpectralKernels kernels = {Spectral<float>::kernels(), Spectral<double>::kernels()};
  return kernels;
}

}  // namespace CSSM_ISA
}  // namespace cssm
