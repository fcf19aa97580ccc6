#include "cuda/spectral_forward.h"
#include "cuda/spectral_kernels.h"

namespace cssm::cuda {

template <>
Kernel<ForwardParams> forward_kernel<double>(int length) {
  if (length <= 16) return spectral_forward<double, 16>;
  return spectral_forward<double, 32>;
}

}  // namespace cssm::cuda
