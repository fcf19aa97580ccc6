// Transforms of a power of two of points that one thread holds in registers: every index is known to the compiler.
#pragma once

#include <utility>

#include "cuda/complex.h"

namespace cssm::cuda {

inline constexpr int kMostPoints = 64;

// cos(2 pi k / 64), a quarter of the circle.
inline constexpr double kCosines[] = {1.0,
                                      0.99518472667219688624,
                                      0.98078528040323044913,
                                      0.95694033573220886494,
                                      0.92387953251128675613,
                                      0.88192126434835502971,
                                      0.83146961230254523708,
                                      0.77301045336273696081,
                                      0.70710678118654752440,
                                      0.63439328416364549822,
                                      0.55557023301960222474,
                                      0.47139673682599764856,
                                      0.38268343236508977173,
                                      0.29028467725446236764,
                                      0.19509032201612826785,
                                      0.09801714032956060199,
                                      0.0};

constexpr double cosine(int k) {
  const int turned = ((k % kMostPoints) + kMostPoints) % kMostPoints;
  const int half = turned > kMostPoints / 2 ? kMostPoints - turned : turned;
  return half > kMostPoints / 4 ? -kCosines[kMostPoints / 2 - half] : kCosines[half];
}

// Evaluated outside of device code, which may not call what is no device function.
template <int kAngle>
inline constexpr double kCosine = cosine(kAngle);

// z exp(-2 pi i K / N)
template <int N, int K, class Real>
__device__ __forceinline__ Complex<Real> rotated(Complex<Real> z) {
  static_assert(kMostPoints % N == 0);
  constexpr int kAngle = K * (kMostPoints / N) % kMostPoints;
  constexpr Real kCos = Real(kCosine<kAngle>), kSin = Real(kCosine<kAngle - kMostPoints / 4>);
  if constexpr (kAngle == 0) {
    return z;
  } else if constexpr (kAngle == kMostPoints / 4) {
    return {z.im, -z.re};
  } else if constexpr (kAngle == kMostPoints / 8) {
    return {kCos * (z.re + z.im), kCos * (z.im - z.re)};
  } else if constexpr (kAngle == 3 * kMostPoints / 8) {
    return {kSin * (z.im - z.re), -kSin * (z.re + z.im)};
  } else {
    return {kCos * z.re + kSin * z.im, kCos * z.im - kSin * z.re};
  }
}

template <int N>
inline constexpr int kRadix = N >= 4 ? 4 : N;

// Where fft_in_place leaves element k.
template <int N>
__device__ constexpr int position(int k) {
  if constexpr (N == 1) {
    return 0;
  } else {
    return N / kRadix<N> * (k % kRadix<N>)+position<N / kRadix<N>>(k / kRadix<N>);
  }
}

// One butterfly of z[kAt + r M], M = N / radix, followed by the rotation of decimation in frequency.
template <int N, int kAt, class Real>
__device__ __forceinline__ void butterfly(Complex<Real>* z) {
  constexpr int M = N / kRadix<N>;
  if constexpr (kRadix<N> == 4) {
    const Complex<Real> a = z[kAt] + z[kAt + 2 * M], b = z[kAt] - z[kAt + 2 * M];
    const Complex<Real> c = z[kAt + M] + z[kAt + 3 * M], d = rotated<4, 1>(z[kAt + M] - z[kAt + 3 * M]);
    z[kAt] = a + c;
    z[kAt + M] = rotated<N, kAt>(b + d);
    z[kAt + 2 * M] = rotated<N, 2 * kAt>(a - c);
    z[kAt + 3 * M] = rotated<N, 3 * kAt>(b - d);
  } else {
    static_assert(N == 2);
    const Complex<Real> a = z[0], b = z[1];
    z[0] = a + b;
    z[1] = a - b;
  }
}

template <int N, class Real, int... kAt>
__device__ __forceinline__ void butterflies(Complex<Real>* z, std::integer_sequence<int, kAt...>) {
  (butterfly<N, kAt>(z), ...);
}

template <int N, class Real>
__device__ __forceinline__ void fft_in_place(Complex<Real>* z) {
  if constexpr (N > 1) {
    constexpr int M = N / kRadix<N>;
    butterflies<N>(z, std::make_integer_sequence<int, M>());
#pragma unroll
    for (int q = 0; q < kRadix<N>; ++q) fft_in_place<M>(z + q * M);
  }
}

// z[k] = sum_n z[n] exp(-2 pi i n k / N)
template <int N, class Real>
__device__ __forceinline__ void fft(Complex<Real> (&z)[N]) {
  fft_in_place<N>(z);
  Complex<Real> ordered[N];
#pragma unroll
  for (int k = 0; k < N; ++k) ordered[k] = z[position<N>(k)];
#pragma unroll
  for (int k = 0; k < N; ++k) z[k] = ordered[k];
}

// z[n] = sum_k z[k] exp(+2 pi i n k / N): the other transform of the swapped parts.
template <int N, class Real>
__device__ __forceinline__ void inverse_fft(Complex<Real> (&z)[N]) {
#pragma unroll
  for (int k = 0; k < N; ++k) z[k] = swapped(z[k]);
  fft(z);
#pragma unroll
  for (int n = 0; n < N; ++n) z[n] = swapped(z[n]);
}

// body(std::integral_constant<int, n>) for n = length, a power of two up to kMost.
template <int kMost, class Body>
__device__ __forceinline__ void with_length(int length, const Body& body) {
  if constexpr (kMost > 1) {
    if (length < kMost) return with_length<kMost / 2>(length, body);
  }
  body(std::integral_constant<int, kMost>());
}

}  // namespace cssm::cuda
