// The passes of spectral_scan, forward and backward, as launches on a stream.
#pragma once

#include <cstdint>
#include <vector>

#include "common/dtype.h"
#include "common/scan_view.h"
#include "cuda/spectral_params.h"
#include "runtime.h"

namespace cssm::cuda {

// The operands that both directions have, in terms of SpectralScan; batch dimensions are full or 1, at most
// kMaxBatchDims of them, and no size is zero.
struct SpectralOperands {
  DType dtype;  // of the frames
  Dims batch;
  int64_t steps, height, width, channels, spacing, chunk_steps;
  bool reverse;
  const void* k;
  Dims k_batch;
  const void* x;
  Dims x_batch;
  const void* h0;
  Dims h0_batch;
  const uint8_t* reset;
  Dims reset_batch;

  int64_t chunks() const { return (steps + chunk_steps - 1) / chunk_steps; }
};

struct SpectralForward {
  bool last_only;
  void *y, *final_state, *checkpoints;
  Carries carries;
};
struct SpectralBackward {
  bool last_only;
  const void *checkpoints, *ct, *ct_final;
  void *dx, *dk, *dk_parts, *dh0;
  Carries carries;
};

void spectral_scan_forward(const SpectralOperands&, const SpectralForward&, Stream);
void spectral_scan_backward(const SpectralOperands&, const SpectralBackward&, Stream);

}  // namespace cssm::cuda
