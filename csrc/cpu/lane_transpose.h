// Vectors of numbers with P scalars each, one number after another, taken apart into P planes and put together again.
// Included only by translation units compiled once per instruction set.
#pragma once

#include "common/simd.h"

namespace cssm {
namespace CSSM_ISA {

// P = 2^a 3^b is done in a + b rounds.
constexpr bool can_transpose(int planes) {
  while (planes % 2 == 0) planes /= 2;
  while (planes % 3 == 0) planes /= 3;
  return planes == 1;
}

// Of the elements of (a, b): those at 2 i + kFirst.
template <int kFirst, class V, int... I>
inline V every_second(V a, V b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I + kFirst)...);
}
// Of the elements of (a, b, c): those at 3 i + kFirst.
template <int kFirst, class V, int... I>
inline V every_third(V a, V b, V c, std::integer_sequence<int, I...>) {
  constexpr int n = sizeof...(I);
  const V of_two = __builtin_shufflevector(a, b, (3 * I + kFirst < 2 * n ? 3 * I + kFirst : 0)...);
  return __builtin_shufflevector(of_two, c, (3 * I + kFirst < 2 * n ? I : 3 * I + kFirst - n)...);
}
// Vector m of two, or of three, of the elements of a, b (and c) in turns.
template <int m, class V, int... I>
inline V in_turns(V a, V b, std::integer_sequence<int, I...>) {
  constexpr int n = sizeof...(I);
  return __builtin_shufflevector(a, b, ((m * n + I) / 2 + (m * n + I) % 2 * n)...);
}
template <int m, class V, int... I>
inline V in_turns(V a, V b, V c, std::integer_sequence<int, I...>) {
  constexpr int n = sizeof...(I);
  const V of_two = __builtin_shufflevector(a, b, ((m * n + I) % 3 == 2 ? 0 : (m * n + I) / 3 + (m * n + I) % 3 * n)...);
  return __builtin_shufflevector(of_two, c, ((m * n + I) % 3 == 2 ? n + (m * n + I) / 3 : I)...);
}

// `packed` holds P vectors, the numbers of a vector of lanes; plane p of them goes to planes[p * kStep].
template <class C, int W, int P, int kStep = 1>
inline void take_apart(const Vec<C, W>* packed, Vec<C, W>* planes) {
  using Lanes = std::make_integer_sequence<int, W>;
  if constexpr (P == 1) {
    planes[0] = packed[0];
  } else if constexpr (P % 2 == 0) {
    Vec<C, W> even[P / 2], odd[P / 2];
    for (int i = 0; i < P / 2; ++i) {
      even[i] = every_second<0>(packed[2 * i], packed[2 * i + 1], Lanes{});
      odd[i] = every_second<1>(packed[2 * i], packed[2 * i + 1], Lanes{});
    }
    take_apart<C, W, P / 2, 2 * kStep>(even, planes);
    take_apart<C, W, P / 2, 2 * kStep>(odd, planes + kStep);
  } else {
    Vec<C, W> first[P / 3], second[P / 3], third[P / 3];
    for (int i = 0; i < P / 3; ++i) {
      first[i] = every_third<0>(packed[3 * i], packed[3 * i + 1], packed[3 * i + 2], Lanes{});
      second[i] = every_third<1>(packed[3 * i], packed[3 * i + 1], packed[3 * i + 2], Lanes{});
      third[i] = every_third<2>(packed[3 * i], packed[3 * i + 1], packed[3 * i + 2], Lanes{});
    }
    take_apart<C, W, P / 3, 3 * kStep>(first, planes);
    take_apart<C, W, P / 3, 3 * kStep>(second, planes + kStep);
    take_apart<C, W, P / 3, 3 * kStep>(third, planes + 2 * kStep);
  }
}

template <class C, int W, int P, int kStep = 1>
inline void put_together(const Vec<C, W>* planes, Vec<C, W>* packed) {
  using Lanes = std::make_integer_sequence<int, W>;
  if constexpr (P == 1) {
    packed[0] = planes[0];
  } else if constexpr (P % 2 == 0) {
    Vec<C, W> even[P / 2], odd[P / 2];
    put_together<C, W, P / 2, 2 * kStep>(planes, even);
    put_together<C, W, P / 2, 2 * kStep>(planes + kStep, odd);
    for (int i = 0; i < P / 2; ++i) {
      packed[2 * i] = in_turns<0>(even[i], odd[i], Lanes{});
      packed[2 * i + 1] = in_turns<1>(even[i], odd[i], Lanes{});
    }
  } else {
    Vec<C, W> first[P / 3], second[P / 3], third[P / 3];
    put_together<C, W, P / 3, 3 * kStep>(planes, first);
    put_together<C, W, P / 3, 3 * kStep>(planes + kStep, second);
    put_together<C, W, P / 3, 3 * kStep>(planes + 2 * kStep, third);
    for (int i = 0; i < P / 3; ++i) {
      packed[3 * i] = in_turns<0>(first[i], second[i], third[i], Lanes{});
      packed[3 * i + 1] = in_turns<1>(first[i], second[i], third[i], Lanes{});
      packed[3 * i + 2] = in_turns<2>(first[i], second[i], third[i], Lanes{});
    }
  }
}

}  // namespace CSSM_ISA
}  // namespace cssm
