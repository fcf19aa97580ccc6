// Half-precision numbers in and out of 16 bits, as the hardware converts them.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace cssm::cuda {

__device__ __forceinline__ float from_bf16(uint32_t bits) { return __uint_as_float(bits << 16); }
__device__ __forceinline__ float from_f16(uint32_t bits) { return __half2float(__ushort_as_half(uint16_t(bits))); }
__device__ __forceinline__ uint32_t to_bf16(float value) { return __bfloat16_as_ushort(__float2bfloat16_rn(value)); }
__device__ __forceinline__ uint32_t to_f16(float value) { return __half_as_ushort(__float2half_rn(value)); }

}  // namespace cssm::cuda
