// What a one-dimensional FFT of a given length needs to know: its passes, twiddles and chirps. Computed once a length,
// in double, and kept for the life of the process.
//
// A length is factored into radices r_1 r_2 ... (Stockham, decimation in frequency): pass i reads n values as r_i
// groups, writes them in order, and the last needs no twiddles. A length with a large prime factor is done as a
// convolution with a chirp (Bluestein, "A linear filtering approach to the computation of discrete Fourier transform",
// 1970).
#pragma once

#include <stdint.h>

namespace cssm {

template <class C>
struct FftPass {
  int64_t radix;
  int64_t groups;     // p = 0 .. groups - 1, each with twiddles of its own
  int64_t stride;     // q = 0 .. stride - 1, product of the earlier radices
  const C* twiddles;  // [groups][radix - 1] (re, im): exp(-2 pi i p k / (groups radix))
  const C* roots;     // [radix] (cos, sin)(2 pi j / radix), for radices without a butterfly of their own
};

template <class C>
struct FftTable {
  int64_t n;
  int64_t num_passes;  // 2 or more; a radix of 1 copies
  const FftPass<C>* passes;
  int64_t scratch;  // complex vectors the transform needs to work in

  // Bluestein's form, if convolution is not null.
  const FftTable* convolution;  // a length of at least 2 n - 1
  const C* chirp;               // [n] exp(-pi i j^2 / n)
  const C* filter;              // [convolution->n] transform of the conjugate chirp, over convolution->n
};

// n > 0.
template <class C>
const FftTable<C>& fft_table(int64_t n);

}  // namespace cssm
