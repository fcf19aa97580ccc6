// Complex numbers of the kernels, aligned so that one is moved by one access.
#pragma once

#include "runtime_keywords.h"

namespace cssm::cuda {

template <class Real>
struct alignas(2 * sizeof(Real)) Complex {
  Real re, im;
};
static_assert(sizeof(Complex<float>) == 8 && sizeof(Complex<double>) == 16);

template <class Real>
__device__ __forceinline__ Complex<Real> operator+(Complex<Real> a, Complex<Real> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class Real>
__device__ __forceinline__ Complex<Real> operator-(Complex<Real> a, Complex<Real> b) {
  return {a.re - b.re, a.im - b.im};
}
template <class Real>
__device__ __forceinline__ Complex<Real> operator*(Complex<Real> a, Complex<Real> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
template <class Real>
__device__ __forceinline__ Complex<Real> conj(Complex<Real> a) {
  return {a.re, -a.im};
}
template <class Real>
__device__ __forceinline__ Complex<Real> scaled(Complex<Real> a, Real scale) {
  return {a.re * scale, a.im * scale};
}
template <class Real>
__device__ __forceinline__ Complex<Real> swapped(Complex<Real> a) {
  return {a.im, a.re};
}

}  // namespace cssm::cuda
