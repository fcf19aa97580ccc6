// What kernels are written in: nvcc's own keywords and variables. `simt/` has a file of this name for the CPU.
#pragma once

#include <cuda_runtime.h>

namespace cssm::cuda {

#if defined(__CUDACC__)
template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(16) char memory[];
  return reinterpret_cast<T*>(memory);
}
#endif

}  // namespace cssm::cuda
