// Elementary functions of vectors: exp, log, sine with cosine, and atan2, for float and double.
//
// No branches, tables or calls; right with fused multiply-add and without. Each reduces its argument to a short
// interval and evaluates a polynomial fitted there by Remez's algorithm to the relative error. A NaN gives a NaN.
//
//           largest error seen         and apart from that
//   exp     1 ulp                      below 2^-125.5 (double: 2^-1021.5) it is 0
//   log     1 ulp                      log(+-0) = -inf, log(x < 0) = NaN; subnormals are numbers
//   sincos  2 ulp to |x| = 3e5 (1e9)   an infinity gives NaN; next to its zeros, double errs by |x| 2^-98
//   atan2   2 ulp                      signed zeros as in C; two infinities give NaN; |x| + |y| must not overflow
//
// Beyond its range sincos errs by no more than a rounding of x; from |x| = 4e6 (2e15) it is an arbitrary point of the
// unit circle.
#pragma once

#include "common/simd.h"

namespace cssm {
namespace CSSM_ISA {

// Whether the machine multiplies and adds with one rounding.
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
inline constexpr bool kFused = true;
#else
inline constexpr bool kFused = false;
#endif

template <class C>
struct MathConstants;

template <>
struct MathConstants<float> {
  using Bits = uint32_t;
  static constexpr int kMantissa = 23;
  static constexpr Bits kBias = 127;
  static constexpr float kRound = 0x1.8p23f;  // x + kRound holds round(x) in its low bits
  static constexpr float kInfinity = __builtin_inff();
  static constexpr float kSmallestNormal = 0x1p-126f;

  static constexpr float kLog2E = 0x1.715476p+0f;
  static constexpr float kLn2High = 0x1.62e4p-1f, kLn2Low = 0x1.7f7d1cp-20f;  // 15 bits: k kLn2High is exact
  static constexpr float kExpLow = -87.33655f, kExpHigh = 89.0f;              // -126 ln 2; past the largest finite
  // (exp r - 1 - r) / r^2 in r, |r| <= ln 2 / 2
  static constexpr float kExp[] = {0.49999994f, 0.16666518f, 0.041668423f, 0.008369063f, 0.001381388f};

  static constexpr Bits kSqrtHalf = 0x3f3504f3;
  // (log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2, |s| <= tan(pi / 8)^2
  static constexpr float kLog[] = {0.66666776f, 0.39976034f, 0.29926854f};

  // (sin r - r) / r^3 and (cos r - 1 + r^2 / 2) / r^4 in r^2, |r| <= pi / 4
  static constexpr float kSin[] = {-0.16666655f, 0.008332099f, -0.00019503628f};
  // pi / 2 in 24 + 24 + 24 bits, for fused multiply-add, which does not round a product
  static constexpr float kHalfPi[] = {0x1.921fb6p+0f, -0x1.777a5cp-25f, -0x1.ee59dap-50f};
  static constexpr float kCos[] = {0.041666653f, -0.0013887652f, 2.4463501e-05f};

  static constexpr float kQuarterPiHigh = 0x1.921fb8p-1f,
                         kQuarterPiLow = -0x1.5dde98p-24f;  // 22 bits: 3 times it is exact
  // (atan q - q) / q^3 in q^2, |q| <= 1 / 2
  static constexpr float kAtan[] = {-0.33333254f, 0.19994435f, -0.14173366f, 0.101376355f, -0.050775576f};
};

template <>
struct MathConstants<double> {
  using Bits = uint64_t;
  static constexpr int kMantissa = 52;
  static constexpr Bits kBias = 1023;
  static constexpr double kRound = 0x1.8p52;
  static constexpr double kInfinity = __builtin_inf();
  static constexpr double kSmallestNormal = 0x1p-1022;

  static constexpr double kLog2E = 0x1.71547652b82fep+0;
  static constexpr double kLn2High = 0x1.62e42fefa4p-1, kLn2Low = -0x1.8432a1b0e2634p-43;
  static constexpr double kExpLow = -708.3964185322641, kExpHigh = 710.0;
  static constexpr double kExp[] = {0.5000000000000012,    0.1666666666666646,    0.041666666666517735,
                                    0.008333333333454335,  0.0013888888947173493, 0.00019841269613746454,
                                    2.480148918221419e-05, 2.755747319407314e-06, 2.7631721593639215e-07,
                                    2.5041211587780058e-08};

  static constexpr Bits kSqrtHalf = 0x3fe6a09e667f3bcd;
  static constexpr double kLog[] = {0.666666666666671,   0.3999999999951718,  0.28571428730011333, 0.22222199005393087,
                                    0.18183576430890555, 0.15313030178573342, 0.1481193624100451};

  static constexpr double kSin[] = {-0.1666666666666664,   0.008333333333323624,    -0.00019841269830108826,
                                    2.755731363850439e-06, -2.5050732379646736e-08, 1.5894579781530494e-10};
  // pi / 2 in 23 + 23 + 53 bits: products with the first two are exact, fused or not
  static constexpr double kHalfPi[] = {0x1.921fb4p+0, 0x1.4442dp-24, 0x1.8469898cc517p-48};
  static constexpr double kCos[] = {0.04166666666666665,     -0.0013888888888882816, 2.480158729460575e-05,
                                    -2.7557315730261363e-07, 2.0875896367569307e-09, -1.1367900041939533e-11};

  static constexpr double kQuarterPiHigh = 0x1.921fb54442d18p-1, kQuarterPiLow = 0x1.1a62633145c07p-55;
  static constexpr double kAtan[] = {-0.33333333333333176, 0.19999999999939072,  -0.1428571427868118,
                                     0.11111110731267065,  -0.09090897502043568, 0.07692087054746007,
                                     -0.06663891996146777, 0.05858563890289391,  -0.051221602526862337,
                                     0.04184606506079054,  -0.02737389146326159, 0.010056505592524382};
};

template <class C, int W>
struct VectorMath {
  using K = MathConstants<C>;
  using Bits = typename K::Bits;
  using V = Vec<C, W>;
  using U = Vec<Bits, W>;

  struct SinCos {
    V sin, cos;
  };

  static CSSM_INLINE V exp(V x) {
    x = x > K::kExpHigh ? fill(K::kExpHigh) : x;
    x = x < K::kExpLow ? fill(K::kExpLow) : x;
    constexpr C kShift = K::kRound + C(K::kBias - 1);
    const V shifted = x * K::kLog2E + kShift;
    const V k = shifted - kShift;
    const V r = (x - k * K::kLn2High) - k * K::kLn2Low;
    const V p = r * r * polynomial(r, K::kExp) + r + C(1);
    // 2^(k-1), of exponent bits k - 1 + kBias, so that the largest k has a power too; the lowest k, of bits 0, gives 0.
    const V half_scale = bit_cast<V>(bit_cast<U>(shifted) << K::kMantissa);
    return (p + p) * half_scale;
  }

  static CSSM_INLINE V log(V x) {
    const auto subnormal = x < K::kSmallestNormal;
    const V scaled = subnormal ? x * C(Bits(2) << K::kMantissa) : x;
    // x = m 2^e with m from sqrt(1/2) to sqrt(2): adding the difference of bits carries into the exponent from sqrt(2).
    constexpr Bits kOne = K::kBias << K::kMantissa;
    const U bits = bit_cast<U>(scaled) + (kOne - K::kSqrtHalf);
    const V m = bit_cast<V>((bits & ((Bits(1) << K::kMantissa) - 1)) + K::kSqrtHalf);
    const V e = exponent(bits >> K::kMantissa) - (subnormal ? fill(C(K::kMantissa + 1)) : V{});
    // log m = 2 atanh(s) = 2 s + s^3 L(s^2) with f = m - 1, s = f / (2 + f), so that 2 s = f - f^2 / 2 + s f^2 / 2
    const V f = m - C(1);
    const V s = f / (f + C(2));
    const V z = s * s;
    const V half_square = f * f * C(0.5);
    const V tail = s * (half_square + z * polynomial(z, K::kLog)) + e * K::kLn2Low;
    V y = e * K::kLn2High - ((half_square - tail) - f);
    y = x < K::kInfinity ? y : x;
    y = x < C(0) ? fill(__builtin_nan("")) : y;
    return x == C(0) ? fill(-K::kInfinity) : y;
  }

  static CSSM_INLINE SinCos sincos(V x) {
    const Reduced reduced = reduce(x);
    const V r = reduced.r, z = r * r;
    const V sin_r = r * z * polynomial(z, K::kSin) + r;
    const V cos_r = z * z * polynomial(z, K::kCos) + (C(1) - z * C(0.5));
    const U quarters = reduced.quarters;
    const auto odd = (quarters & 1) != 0;
    constexpr int kToSign = int(sizeof(C)) * 8 - 2;
    return {flip(odd ? cos_r : sin_r, (quarters & 2) << kToSign),
            flip(odd ? sin_r : cos_r, ((quarters + 1) & 2) << kToSign)};
  }

  static CSSM_INLINE V atan2(V y, V x) {
    const V ax = bit_cast<V>(bit_cast<U>(x) & ~kSign), ay = bit_cast<V>(bit_cast<U>(y) & ~kSign);
    const auto swapped = ay > ax;
    const V large = swapped ? ay : ax, small = swapped ? ax : ay;
    // atan(small / large), or pi / 4 + atan((small - large) / (small + large)) where that difference is exact.
    const auto steep = small > large * C(0.5);
    const V divisor = steep ? small + large : large;
    const V q = (steep ? small - large : small) / (divisor == C(0) ? fill(C(1)) : divisor);
    const V z = q * q;
    const V atan_q = q * z * polynomial(z, K::kAtan) + q;
    // The angle is `quarters` pi / 4 +- atan(q): reflected at pi / 4 where swapped, at pi / 2 where x < 0.
    V quarters = steep ? fill(C(1)) : V{};
    quarters = swapped ? C(2) - quarters : quarters;
    const U x_sign = bit_cast<U>(x) & kSign;
    quarters = x_sign != 0 ? C(4) - quarters : quarters;
    const V signed_atan = flip(atan_q, (swapped ? U{} + kSign : U{}) ^ x_sign);
    const V angle = quarters * K::kQuarterPiHigh + (quarters * K::kQuarterPiLow + signed_atan);
    return flip(angle, bit_cast<U>(y) & kSign);
  }

 private:
  static constexpr Bits kSign = Bits(1) << (sizeof(C) * 8 - 1);

  // x = quarters pi / 2 + r, |r| <= pi / 4; only the low bits of `quarters` count.
  struct Reduced {
    V r;
    U quarters;
  };

  static V fill(C value) { return V{} + value; }
  static V flip(V value, U sign) { return bit_cast<V>(bit_cast<U>(value) ^ sign); }

  // coefficients[0] + coefficients[1] x + ...
  template <int N, int I = 0>
  static V polynomial(V x, const C (&coefficients)[N]) {
    if constexpr (I == N - 1) {
      return fill(coefficients[I]);
    } else {
      return polynomial<N, I + 1>(x, coefficients) * x + coefficients[I];
    }
  }

  // The number whose biased exponent this is, through the bits of 2^kMantissa + biased.
  static V exponent(U biased) {
    constexpr Bits kLargeBits = (K::kBias + K::kMantissa) << K::kMantissa;
    return bit_cast<V>(biased | kLargeBits) - C((Bits(1) << K::kMantissa) + K::kBias);
  }

  static Reduced reduce(V x) {
    if constexpr (sizeof(C) == sizeof(double)) {
      const V shifted = x * kTwoOverPi + K::kRound;
      const V n = shifted - K::kRound;
      const V r = ((x - n * K::kHalfPi[0]) - n * K::kHalfPi[1]) - n * K::kHalfPi[2];
      return {clamp(r), bit_cast<U>(shifted)};
    } else if constexpr (kFused) {
      const V shifted = x * C(kTwoOverPi) + K::kRound;
      const V n = shifted - K::kRound;
      V r = x;  // less the first part exact, less the others rounded as it must be
      for (const C part : K::kHalfPi) r = minus_product(r, n, part);
      return {clamp(r), bit_cast<U>(shifted)};
    } else {
      // float unfused would need eight parts of pi / 2. In double, 33 + 53 bits of it are enough.
      constexpr auto kAll = std::make_integer_sequence<int, W>{};
      constexpr auto kHalf = std::make_integer_sequence<int, W / 2>{};
      const HalfReduced low = reduce_half(part<0>(x, kHalf)), high = reduce_half(part<W / 2>(x, kHalf));
      return {clamp(joined(low.r, high.r, kAll)), joined(low.quarters, high.quarters, kAll)};
    }
  }

  // c - a b, rounded once: a compiler that does not optimise would not fuse them by itself.
  static V minus_product(V c, V a, float b) {
#if defined(__AVX512F__)
    if constexpr (sizeof(V) == 64)
      return bit_cast<V>(_mm512_fnmadd_ps(bit_cast<__m512>(a), _mm512_set1_ps(b), bit_cast<__m512>(c)));
#endif
#if defined(__FMA__)
    if constexpr (sizeof(V) == 32)
      return bit_cast<V>(_mm256_fnmadd_ps(bit_cast<__m256>(a), _mm256_set1_ps(b), bit_cast<__m256>(c)));
#endif
    for (int i = 0; i < W; ++i) c[i] = __builtin_fmaf(-a[i], b, c[i]);
    return c;
  }

  struct HalfReduced {
    Vec<float, W / 2> r;
    Vec<uint32_t, W / 2> quarters;
  };
  static HalfReduced reduce_half(Vec<float, W / 2> x) {
    using D = Vec<double, W / 2>;
    const D wide = __builtin_convertvector(x, D);
    const D n = (wide * kTwoOverPi + MathConstants<double>::kRound) - MathConstants<double>::kRound;
    const D r = (wide - n * 0x1.921fb544p+0) - n * 0x1.0b4611a626331p-34;
    const auto quarters = __builtin_convertvector(n, Vec<int32_t, W / 2>);
    return {__builtin_convertvector(r, Vec<float, W / 2>), bit_cast<Vec<uint32_t, W / 2>>(quarters)};
  }

  static constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;

  // Past pi / 4 by what n can be wrong: a bound for the remainders of huge numbers.
  static V clamp(V r) {
    r = r > C(0.82) ? fill(C(0.82)) : r;
    return r < C(-0.82) ? fill(C(-0.82)) : r;
  }

  template <int kFrom, class T, int... I>
  static auto part(T v, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(v, v, (kFrom + I)...);
  }
  template <class T, int... I>
  static auto joined(T low, T high, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(low, high, I...);
  }
};

}  // namespace CSSM_ISA
}  // namespace cssm
