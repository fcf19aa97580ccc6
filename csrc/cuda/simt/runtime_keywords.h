// The words kernels are written in, for a C++ compiler: a CUDA thread is a fiber of simt/fibers.h.
#pragma once

#include <cstdint>

#include "cuda/simt/fibers.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace cssm::cuda {

using simt::blockDim, simt::blockIdx, simt::gridDim, simt::threadIdx;

inline void __syncthreads(int line = __builtin_LINE()) { simt::barrier(line); }

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(simt::shared_memory());
}

}  // namespace cssm::cuda
