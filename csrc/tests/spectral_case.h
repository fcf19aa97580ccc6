// A problem of the spectral operations with its buffers: as in scan_case.h, exactly sized, outputs full of NaN.
// Operands are multiples of 1/128 within [-1, 1], which every dtype holds exactly: one reference serves them all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/scan_view.h"
#include "cpu/spectral_scan.h"
#include "scan_case.h"

namespace cssm::testing {

// Of spectra that go with frames of this dtype.
DType spectrum_dtype(DType frames);

Array poisoned(DType dtype, const Dims& dims);
Array random_exact(DType dtype, const Dims& dims, Random& random);

struct SpectralCase {
  DType dtype = DType::kF64;
  Dims batch;
  int64_t steps, height, width, channels;
  int64_t spacing = 8;
  bool reverse = false, last_only = false;
  Dims x, k, h0, reset;  // batch dimensions of operands
  bool has_h0 = false, has_reset = false;
  bool saves = true;  // checkpoints
  bool returns_final = true;
  bool has_ct = true, has_ct_final = false, wants_dk = true, wants_dh0 = false;

  int64_t checkpoints() const { return (steps - 1) / spacing; }
  int64_t time(int64_t step) const { return reverse ? steps - 1 - step : step; }
  // Dims of an operand or a result with these batch dimensions.
  Dims frames(const Dims& of) const { return joined(of, {steps, height, width, channels}); }
  Dims frame(const Dims& of) const { return joined(of, {height, width, channels}); }
  Dims spectra(const Dims& of, int64_t count) const { return joined(of, {count, height, width / 2 + 1, channels}); }
  Dims spectrum(const Dims& of) const { return joined(of, {height, width / 2 + 1, channels}); }
  std::string describe() const;

 private:
  static Dims joined(Dims of, const Dims& more) {
    of.insert(of.end(), more.begin(), more.end());
    return of;
  }
};

// With no batch dimensions but `batch`, of which every operand has all.
SpectralCase spectral_case(const Dims& batch, int64_t steps, int64_t height, int64_t width, int64_t channels);

// The same numbers for every dtype of the case, given the same `random`. Checkpoints come from elsewhere.
struct SpectralInputs {
  Array x, k, h0, ct, ct_final;
  std::unique_ptr<uint8_t[]> reset;
};
SpectralInputs random_inputs(const SpectralCase& c, Random& random);

SpectralProblem spectral_problem(const SpectralCase&, const SpectralInputs&);

// final_state and checkpoints are empty where not wanted.
struct SpectralForwardResult {
  Array y, final_state, checkpoints;
};
SpectralForwardResult run_forward(const SpectralCase& c, const SpectralInputs& in, const SpectralKernels& kernels,
                                  ThreadPool& pool);

// dk and dh0 are empty where not wanted.
struct SpectralBackwardResult {
  Array dx, dk, dh0;
};
SpectralBackwardResult run_backward(const SpectralCase& c, const SpectralInputs& in, const Array& checkpoints,
                                    const SpectralKernels& kernels, ThreadPool& pool);

}  // namespace cssm::testing
