#include "cuda/spectral_backward.h"
#include "cuda/spectral_kernels.h"

namespace cssm::cuda {

template <>
Kernel<BackwardParams> backward_kernel<double>(int length) {
  if (length <= 16) return spectral_backward<double, 16>;
  return spectral_backward<double, 32>;
}

}  // namespace cssm::cuda
