// rfft2 and its inverse over the middle two axes of channels-last frames.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/threads.h"
#include "cpu/spectral_block.h"

namespace cssm {

// Row-major arrays: frames (count, height, width, channels) of `dtype`, spectra (count, height, width / 2 + 1,
// channels) complex, in the precision of the state. No size is zero.
struct Fft2Problem {
  DType dtype;
  int64_t count, height, width, channels;
};

void rfft2(const Fft2Problem&, const char* frames, char* spectra, const SpectralKernels&, ThreadPool&);
void irfft2(const Fft2Problem&, const char* spectra, char* frames, const SpectralKernels&, ThreadPool&);

}  // namespace cssm
