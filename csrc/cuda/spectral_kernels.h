// The kernels of spectral_scan, by the precision of the state and the longer side of a frame. Each precision and
// direction is a file of its own, which nvcc takes its time over.
#pragma once

#include "cuda/spectral_params.h"

namespace cssm::cuda {

// The longest side of a frame that has a kernel.
template <class Real>
inline constexpr int kMostLength = sizeof(Real) == 4 ? 64 : 32;

template <class Params>
using Kernel = void (*)(Params);

template <class Real>
Kernel<ForwardParams> forward_kernel(int length);
template <class Real>
Kernel<BackwardParams> backward_kernel(int length);
template <class Real>
Kernel<ChainParams> chain_kernel();
template <class Real>
Kernel<SumParams> sum_kernel();

}  // namespace cssm::cuda
