// One small vector type over the compiler's vector extension, and the storage types that load into it.
//
// Included only by translation units compiled once per instruction set: everything lives in namespace CSSM_ISA, so the
// linker can never pick another set's copy of an inline function.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#ifndef CSSM_ISA
#error "compile with -DCSSM_ISA=<namespace of the instruction set>"
#endif

#if defined(__AVX512F__)
#define CSSM_VECTOR_BYTES 64
#elif defined(__AVX__)
#define CSSM_VECTOR_BYTES 32
#else
#define CSSM_VECTOR_BYTES 16
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define CSSM_INLINE __attribute__((always_inline)) inline
#define CSSM_INLINE_BODY __attribute__((always_inline))  // of a lambda

namespace cssm {
namespace CSSM_ISA {

inline constexpr int kVectorBytes = CSSM_VECTOR_BYTES;

template <class T, int W>
struct VecOf {
  typedef T type __attribute__((vector_size(W * sizeof(T))));
};
template <class T, int W>
using Vec = typename VecOf<T, W>::type;

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

template <class To, class From>
inline To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(to));
  return to;
}

template <int W>
inline Vec<float, W> widen(Vec<uint32_t, W> bits, BFloat16) {
  return bit_cast<Vec<float, W>>(bits << 16);
}

template <int W>
inline Vec<uint32_t, W> narrow(Vec<float, W> value, BFloat16) {
  auto u = bit_cast<Vec<uint32_t, W>>(value);
  auto rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;  // to nearest, ties to even
  auto quiet_nan = (u >> 16) | 0x40u;
  return (u & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded;
}

template <int W>
inline Vec<float, W> widen(Vec<uint32_t, W> bits, Float16) {
  using U = Vec<uint32_t, W>;
  U magnitude = bits & 0x7fffu;
  U shifted = magnitude << 13;
  U subnormal = bit_cast<U>(__builtin_convertvector(magnitude, Vec<float, W>) * 0x1p-24f);
  U normal = shifted + 0x38000000u;  // exponent bias 15 -> 127
  U inf_nan = shifted | 0x7f800000u;
  U value = magnitude < 0x400u ? subnormal : (magnitude >= 0x7c00u ? inf_nan : normal);
  return bit_cast<Vec<float, W>>(value | ((bits & 0x8000u) << 16));
}

template <int W>
inline Vec<uint32_t, W> narrow(Vec<float, W> value, Float16) {
  using U = Vec<uint32_t, W>;
  U u = bit_cast<U>(value);
  U magnitude = u & 0x7fffffffu;
  U zero = u ^ u;
  U inf_nan = zero + 0x7c00u;
  inf_nan = magnitude > 0x7f800000u ? zero + 0x7e00u : inf_nan;
  // Adding 0.5 aligns a subnormal's bits with the low mantissa bits; the FPU rounds.
  U subnormal = bit_cast<U>(bit_cast<Vec<float, W>>(magnitude) + 0.5f) - 0x3f000000u;
  U normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  U half = magnitude >= 0x47800000u ? inf_nan : (magnitude < 0x38800000u ? subnormal : normal);
  return half | ((u >> 16) & 0x8000u);
}

// Load/store W scalars of storage type S as compute type C; unaligned.
template <class C, int W, class S>
inline Vec<C, W> load(const S* p) {
  if constexpr (std::is_same_v<S, C>) {
    Vec<C, W> v;
    __builtin_memcpy(&v, p, sizeof(v));
    return v;
  } else {
    Vec<uint16_t, W> bits;
    __builtin_memcpy(&bits, p, sizeof(bits));
    return widen<W>(__builtin_convertvector(bits, Vec<uint32_t, W>), S{});
  }
}
template <class C, int W, class S>
inline void store(S* p, Vec<C, W> v) {
  if constexpr (std::is_same_v<S, C>) {
    __builtin_memcpy(p, &v, sizeof(v));
  } else {
    auto bits = __builtin_convertvector(narrow<W>(v, S{}), Vec<uint16_t, W>);
    __builtin_memcpy(p, &bits, sizeof(bits));
  }
}

// One scalar in every lane: V{} + value is an addition too, for the sake of -0.
template <class C, int... I>
inline Vec<C, sizeof...(I)> broadcast(C value, std::integer_sequence<int, I...>) {
  return Vec<C, sizeof...(I)>{((void)I, value)...};
}
template <class C, int W>
inline Vec<C, W> broadcast(C value) {
  return broadcast<C>(value, std::make_integer_sequence<int, W>{});
}

// Halves are added until one is left.
template <class C, int... I>
inline C sum_of_halves(Vec<C, 2 * sizeof...(I)> v, std::integer_sequence<int, I...>) {
  constexpr int kHalf = sizeof...(I);
  if constexpr (kHalf == 1) {
    return v[0] + v[1];
  } else {
    const Vec<C, kHalf> sums = __builtin_shufflevector(v, v, I...) + __builtin_shufflevector(v, v, (I + kHalf)...);
    return sum_of_halves<C>(sums, std::make_integer_sequence<int, kHalf / 2>{});
  }
}
template <class C, int W>
inline C sum_of_lanes(Vec<C, W> v) {
  return sum_of_halves<C>(v, std::make_integer_sequence<int, W / 2>{});
}

// Store past the caches. p must be aligned to the vector.
template <class C, int W>
inline void store_streaming(C* p, Vec<C, W> v) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), bit_cast<__m512i>(v));
#elif defined(__AVX__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), bit_cast<__m256i>(v));
#elif defined(__x86_64__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), bit_cast<__m128i>(v));
#else
  store<C, W>(p, v);
#endif
}

inline void streaming_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

template <class V, int... I>
inline V swap_pairs(V v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, (I ^ 1)...);
}
template <class V, int... I>
inline V even_of_pairs(V v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, (I & ~1)...);
}
template <class V, int... I>
inline V odd_of_pairs(V v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, (I | 1)...);
}
template <class C, int... I>
inline Vec<C, sizeof...(I)> alternating_sign(std::integer_sequence<int, I...>) {
  return Vec<C, sizeof...(I)>{C(I & 1 ? 1 : -1)...};
}
template <class C, int... I>
inline Vec<C, sizeof...(I)> repeat_pair(C even, C odd, std::integer_sequence<int, I...>) {
  return Vec<C, sizeof...(I)>{(I & 1 ? odd : even)...};
}

// Arithmetic on W scalars that hold W real numbers, or W/2 complex ones as (re, im) pairs.
template <class C, int W, bool kComplex>
struct Arithmetic {
  using V = Vec<C, W>;
  using Lanes = std::make_integer_sequence<int, W>;

  // One element in every position.
  static V fill(const C* element) {
    if constexpr (kComplex) {
      return repeat_pair<C>(element[0], element[1], Lanes{});
    } else {
      return broadcast<C, W>(element[0]);
    }
  }
  static V multiply_add(V a, V b, V c) {
    if constexpr (kComplex) {
      V cross = odd_of_pairs(a, Lanes{}) * alternating_sign<C>(Lanes{});
      return cross * swap_pairs(b, Lanes{}) + (even_of_pairs(a, Lanes{}) * b + c);
    } else {
      return a * b + c;
    }
  }
  static V multiply(V a, V b) {
    if constexpr (kComplex) {
      V cross = odd_of_pairs(a, Lanes{}) * alternating_sign<C>(Lanes{});
      return cross * swap_pairs(b, Lanes{}) + even_of_pairs(a, Lanes{}) * b;
    } else {
      return a * b;
    }
  }
};

template <int N>
using Index = std::integral_constant<int, N>;

// body(Index<0>) ... body(Index<N - 1>), so that arrays indexed by them can live in registers.
template <class Body, int... I>
CSSM_INLINE void unrolled(Body&& body, std::integer_sequence<int, I...>) {
  (body(Index<I>{}), ...);
}
template <int N, class Body>
CSSM_INLINE void unrolled(Body&& body) {
  unrolled(body, std::make_integer_sequence<int, N>{});
}

}  // namespace CSSM_ISA
}  // namespace cssm
