#include "cuda/spectral_kernels.h"
#include "cuda/spectral_sums.h"

namespace cssm::cuda {

template <>
Kernel<ChainParams> chain_kernel<float>() {
  return spectral_chain<float>;
}
template <>
Kernel<ChainParams> chain_kernel<double>() {
  return spectral_chain<double>;
}
template <>
Kernel<SumParams> sum_kernel<float>() {
  return spectral_sum<float>;
}
template <>
Kernel<SumParams> sum_kernel<double>() {
  return spectral_sum<double>;
}

}  // namespace cssm::cuda
