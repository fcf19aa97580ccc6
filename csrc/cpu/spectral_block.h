// What the spectral operations do to the frames of one block of channels, one channel a lane: the part compiled once an
// instruction set. All arrays here are planar: an element is `lanes` real parts, then `lanes` imaginary ones (a
// "unit").
//
// A frame of real rows becomes `z`, its transform along the width, two rows to a complex one: with z_i the transform of
// (row 2i) + i (row 2i + 1), element i of column w. The transform along the height takes columns f and W - f of z apart
// into column f of the half-spectrum, and the inverse puts its rows back there: row 2i in column f, row 2i + 1 in W -
// f. Where the two are one (f = 0, f = W/2) only real parts are kept, which is what the inverse of a half-spectrum that
// is not Hermitian is defined to do. Packing two rows leaves every spectrum doubled: kSpectrumScale.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/fft_table.h"

namespace cssm {

inline constexpr int kSpectrumScale = 2;

template <class C>
struct FrameShape {
  int64_t height, width;
  const FftTable<C>*along_height, *along_width;

  int64_t columns() const { return width / 2 + 1; }
  int64_t pairs() const { return (height + 1) / 2; }
  // Units from a column of z to the next: odd, so that neighbours do not fall on the same sets of the cache.
  int64_t z_step() const { return pairs() | 1; }
  int64_t z_units() const { return width * z_step(); }
  int64_t spectrum_units() const { return columns() * height; }
  int64_t scratch_units() const {
    return along_height->scratch > along_width->scratch ? along_height->scratch : along_width->scratch;
  }
  // Columns whose imaginary parts the inverse along the width drops.
  bool is_edge(int64_t f) const { return f == 0 || 2 * f == width; }
};

// A run of pairs of rows; `rows` is the first one's, a pixel `pixel_step` scalars from the next.
struct PairRange {
  int64_t begin, end;
};

// (re, im) factors of the parts of a spectrum: (1, -1) conjugates.
template <class C>
struct PartScale {
  C re, im;
};

// How pixels are stored: as they are computed with, or in 16 bits.
enum Storage : int { kAsComputed, kAsBF16, kAsF16, kNumStorages };

template <class C>
struct SpectralKernelsOf {
  int64_t lanes;
  void (*rows_forward)(const FrameShape<C>&, PairRange, const C* rows, int64_t pixel_step, C* z, C* scratch);
  // rows = scale * (inverse along the width). `stream` asks for stores past the caches, where lines are whole: before
  // another thread may read the rows, this one must call `fence`.
  void (*rows_inverse)(const FrameShape<C>&, PairRange, const C* z, C scale, C* rows, int64_t pixel_step, bool stream,
                       C* scratch);
  void (*fence)();
  // With X column f of the half-spectrum: out = X, out = k in + X (`in` may be `out`), sum += X.
  void (*column_forward)(const FrameShape<C>&, int64_t f, const C* z, C* out, C* scratch);
  void (*column_step)(const FrameShape<C>&, int64_t f, const C* z, const C* k, const C* in, C* out, C* scratch);
  void (*column_add)(const FrameShape<C>&, int64_t f, const C* z, C* sum, C* scratch);
  void (*column_inverse)(const FrameShape<C>&, int64_t f, const C* column, C* z, C* scratch);
  // sum += conj(p) s, then p = conj(k) p.
  void (*pull_back)(int64_t units, const C* k, const C* s, C* p, C* sum);
  void (*multiply)(int64_t units, const C* a, const C* b, C* to);
  void (*add)(int64_t units, const C* from, C* to);
  // Between planar units and complex numbers, `channels` (at most `lanes`) of them every `step` scalars.
  void (*load_column)(int64_t units, const C* from, int64_t step, int64_t channels, PartScale<C>, C* column);
  void (*store_column)(int64_t units, const C* column, PartScale<C>, C* to, int64_t step, int64_t channels,
                       bool stream);
  // Pixels of `channels` (at most `lanes`) values every `step` elements, to and from `lanes` computed ones.
  void (*gather[kNumStorages])(const char* from, int64_t step, int64_t pixels, int64_t channels, C* to);
  void (*scatter[kNumStorages])(const C* from, int64_t pixels, int64_t channels, char* to, int64_t step);
};

struct SpectralKernels {
  SpectralKernelsOf<float> f32;
  SpectralKernelsOf<double> f64;
};

namespace baseline {
const SpectralKernels& spectral_kernels();
}
namespace avx2 {
const SpectralKernels& spectral_kernels();
}
namespace avx512 {
const SpectralKernels& spectral_kernels();
}

}  // namespace cssm
