// How much of a frame a block of threads takes on a given GPU.
#pragma once

#include <cstddef>

#include "cuda/spectral_params.h"
#include "runtime.h"

namespace cssm::cuda {

struct Plan {
  int group_log2;
  int kept;  // states in shared memory, where gradients of the transition are wanted
  int threads;
  size_t shared_bytes;
};

// `spectra` whole ones in shared memory beside z and the states kept, of complex numbers of `complex_bytes`. Throws
// where not even one channel fits.
Plan make_plan(const SpectralScan& scan, int spectra, bool keeps_states, size_t complex_bytes, const GpuLimits& limits);

}  // namespace cssm::cuda
