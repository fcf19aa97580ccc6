// Half-precision numbers in and out of 16 bits, converted in software.
#pragma once

#include "common/half.h"

namespace cssm::cuda {

inline float from_bf16(uint32_t bits) { return widened<float>(BF16Storage{uint16_t(bits)}); }
inline float from_f16(uint32_t bits) { return widened<float>(F16Storage{uint16_t(bits)}); }
inline uint32_t to_bf16(float value) { return narrowed<BF16Storage>(value).bits; }
inline uint32_t to_f16(float value) { return narrowed<F16Storage>(value).bits; }

}  // namespace cssm::cuda
