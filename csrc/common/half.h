// Scalar conversion between the storage types and the type they are computed in. For code outside the vector loops.
#pragma once

#include <cstdint>
#include <cstring>

namespace cssm {

struct BF16Storage {
  uint16_t bits;
};
struct F16Storage {
  uint16_t bits;
};

inline float to_float(uint32_t bits) {
  float f;
  std::memcpy(&f, &bits, sizeof(f));
  return f;
}
inline uint32_t to_bits(float f) {
  uint32_t u;
  std::memcpy(&u, &f, sizeof(u));
  return u;
}

template <class C, class S>
inline C widened(S value) {
  return value;
}
template <>
inline float widened<float, BF16Storage>(BF16Storage value) {
  return to_float(uint32_t{value.bits} << 16);
}
template <>
inline float widened<float, F16Storage>(F16Storage value) {
  const uint32_t magnitude = value.bits & 0x7fffu, sign = uint32_t(value.bits & 0x8000u) << 16;
  uint32_t bits;
  if (magnitude >= 0x7c00u) {
    bits = (magnitude << 13) | 0x7f800000u;
  } else if (magnitude < 0x400u) {
    bits = to_bits(float(magnitude) * 0x1p-24f);
  } else {
    bits = (magnitude << 13) + 0x38000000u;  // exponent bias 15 -> 127
  }
  return to_float(bits | sign);
}

template <class S, class C>
inline S narrowed(C value) {
  return value;
}
template <>
inline BF16Storage narrowed<BF16Storage, float>(float value) {
  const uint32_t u = to_bits(value);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {uint16_t((u >> 16) | 0x40u)};
  return {uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};  // to nearest, ties to even
}
template <>
inline F16Storage narrowed<F16Storage, float>(float value) {
  const uint32_t u = to_bits(value), magnitude = u & 0x7fffffffu, sign = (u >> 16) & 0x8000u;
  uint32_t half;
  if (magnitude >= 0x47800000u) {
    half = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  } else if (magnitude < 0x38800000u) {
    half = to_bits(to_float(magnitude) + 0.5f) - 0x3f000000u;  // the FPU rounds the subnormal's bits
  } else {
    half = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  }
  return {uint16_t(half | sign)};
}

}  // namespace cssm
