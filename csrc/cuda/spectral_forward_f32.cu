#include "cuda/spectral_forward.h"
#include "cuda/spectral_kernels.h"

namespace cssm::cuda {

template <>
Kernel<ForwardParams> forward_kernel<float>(int length) {
  if (length <= 16) return spectral_forward<float, 16>;
  if (length <= 32) return spectral_forward<float, 32>;
  return spectral_forward<float, 64>;
}

}  // namespace cssm::cuda
