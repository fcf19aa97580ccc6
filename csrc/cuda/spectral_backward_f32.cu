#include "cuda/spectral_backward.h"
#include "cuda/spectral_kernels.h"

namespace cssm::cuda {

template <>
Kernel<BackwardParams> backward_kernel<float>(int length) {
  if (length <= 16) return spectral_backward<float, 16>;
  if (length <= 32) return spectral_backward<float, 32>;
  return spectral_backward<float, 64>;
}

}  // namespace cssm::cuda
