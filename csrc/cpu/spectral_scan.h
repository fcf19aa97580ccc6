// S_t = X_t if reset_t else k S_{t-1} + X_t with X = rfft2(x), and y = irfft2(S), over channels-last frames; and its
// backward pass. Where S_t = X_t, y_t is x_t: those frames are copied. Or, without a recurrence, S_t = k X_t.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/scan_view.h"
#include "common/threads.h"
#include "cpu/spectral_block.h"
#include "cpu/spectral_projection.h"

namespace cssm {

// Row-major arrays: frames (batch..., steps, height, width, channels), spectra (batch..., height, width / 2 + 1,
// channels) complex, in the precision of the state, reset (batch..., steps). The batch dimensions of an operand have
// the rank of `batch` and are full or 1; absent operands are null. No size is zero.
struct SpectralProblem {
  DType dtype;  // of the frames
  Dims batch;
  int64_t steps, height, width, channels;
  bool reverse;
  bool filters;  // S_t = k X_t: of projected frames, with neither h0 nor resets, nor states kept
  const char* k;
  Dims k_batch;
  const uint8_t* reset;
  Dims reset_batch;
  const char* h0;
  Dims h0_batch;
  const char* x;
  Dims x_batch;
  const SpectralProjection* projection;  // null: none
  // States before steps spacing, 2 spacing, ... in the order of the scan: (batch..., checkpoints, height, ...).
  int64_t spacing;
  int64_t checkpoints() const { return (steps - 1) / spacing; }
};

// y holds the last frame alone if last_only; it has the projection's width. final_state and checkpoints may be null.
struct SpectralForward {
  bool last_only;
  char* y;
  char* final_state;
  char* checkpoints;
};

// ct has y's shape; ct and ct_final may be null. dx has the full batch; dk has k's; dh0 the full batch. dh0 may be
// null, and dk too: then x, h0 and checkpoints are not read. With a projection ct, dk and dw are there, dbias may
// be null, and frames are not last_only.
struct SpectralBackward {
  bool last_only;
  const char* checkpoints;
  const char* ct;
  const char* ct_final;
  char* dx;
  char* dk;
  char* dh0;
  char* dw;
  char* dbias;
};

void spectral_scan_forward(const SpectralProblem&, const SpectralForward&, const SpectralKernels&, ThreadPool&);
void spectral_scan_backward(const SpectralProblem&, const SpectralBackward&, const SpectralKernels&, ThreadPool&);

}  // namespace cssm
