// rfft2, irfft2 and spectral_scan by their definitions, in double, one sum a frequency.
#pragma once

#include <complex>
#include <string>
#include <vector>

#include "spectral_case.h"

namespace cssm::testing {

using Complexes = std::vector<std::complex<double>>;

// Of frames (height, width, channels) and spectra (height, width / 2 + 1, channels), row-major.
class NaiveFft2 {
 public:
  NaiveFft2(int64_t height, int64_t width, int64_t channels);

  // Imaginary parts of `frame` are not looked at.
  Complexes forward(const std::complex<double>* frame) const;
  // Complex along the height, then to real along the width, without the imaginary parts of columns 0 and width / 2.
  Complexes inverse(const std::complex<double>* spectrum) const;
  // (1 for those columns, else 2) / (height width): the inverse transform's transpose is w conj(rfft2).
  double weight(int64_t column) const;

  int64_t frame_size() const { return height_ * width_ * channels_; }
  int64_t spectrum_size() const { return height_ * columns_ * channels_; }

 private:
  bool is_edge(int64_t column) const { return column == 0 || 2 * column == width_; }

  int64_t height_, width_, columns_, channels_;
  Complexes height_roots_, width_roots_;  // exp(-2 pi i j / n)
};

// None of an array that is absent.
Complexes values(const Array& array);

// As run_forward and run_backward of spectral_case.h return them; `checkpoints` is there in any case.
struct SpectralForwardReference {
  Complexes y, final_state, checkpoints;
  Complexes before;  // the state before each step in the order of the scan: (batch..., steps, spectrum)
};
// S_t = X_t if reset_t else k S_{t-1} + X_t, X = rfft2(x), y = irfft2(S).
SpectralForwardReference forward_reference(const SpectralCase& c, const SpectralInputs& in);

struct SpectralBackwardReference {
  Complexes dx, dk, dh0;
};
// p_t = rfft2(ct_t) + conj(k) p_{t+1}, from conj(ct_final) / w; dx_t = irfft2(p_t); dk = w sum conj(p_t) S_{t-1} over
// steps and the batch elements that share k; dh0 = w k conj(p_1). Nothing passes a step that is reset.
SpectralBackwardReference backward_reference(const SpectralCase& c, const SpectralInputs& in,
                                             const SpectralForwardReference& forward);

// Fails at the first element (a NaN always does) further from `want` than the precision of `got`, relative to the
// largest value: a transform's errors are spread over all of its results.
void expect_near(const char* name, const Array& got, const Complexes& want, const std::string& where);

}  // namespace cssm::testing
