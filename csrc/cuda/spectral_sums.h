// The small kernels between the passes: states handed from chunk to chunk, and sums over the sharers of a transition.
#pragma once

#include "cuda/spectral_block.h"

namespace cssm::cuda {

// k^steps, in double: a power may leave the range of floats where its product with the state does not.
template <class Real>
__device__ Complex<double> power(Complex<Real> k, int64_t steps) {
  Complex<double> square = {k.re, k.im}, result = {1, 0};
  for (; steps > 0; steps >>= 1) {
    if (steps & 1) result = result * square;
    square = square * square;
  }
  return result;
}

// Carries in: what each chunk adds to the state it hands on. Out: the state itself. One thread an element of a
// spectrum. Forward: S = k^L S + f_c, from h0. Backward, from the last chunk to the first: r = conj(k)^L r + q_c, from
// ct_final.
template <class Real>
__global__ void __launch_bounds__(kSumThreads) spectral_chain(ChainParams params) {
  using C = Complex<Real>;
  const SpectralScan& scan = params.scan;
  const int64_t columns = spectrum_columns(scan.width), size = scan.height * columns * scan.channels;
  const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= size * scan.batch) return;
  const int64_t at = index % size, f = at / scan.channels % columns;
  const int batch = int(index / size);
  const C k = static_cast<const C*>(scan.k)[int64_t(offset(batch, scan.batch_size, scan.k_stride)) * size + at];

  C state = {0, 0};
  if (params.backward && params.ct_final) {
    const Real weight = f == 0 || 2 * f == scan.width ? Real(1) : Real(2);
    const C ct = static_cast<const C*>(params.ct_final)[batch * size + at];
    state = scaled(conj(ct), kSpectrumScale * Real(scan.height) * Real(scan.width) / weight);
  } else if (!params.backward && scan.h0) {
    state = static_cast<const C*>(scan.h0)[offset(batch, scan.batch_size, scan.h0_stride) * size + at];
    state = scaled(state, Real(kSpectrumScale));
  }
  for (int i = 0; i + 1 < params.chunks; ++i) {
    const int chunk = params.backward ? params.chunks - 1 - i : i;
    const int64_t slot = int64_t(params.backward ? chunk - 1 : chunk) * scan.batch + batch;
    const int begin = chunk * scan.chunk_steps;
    const int steps = scan.steps - begin < scan.chunk_steps ? scan.steps - begin : scan.chunk_steps;
    C* const carry = static_cast<C*>(params.carries.states) + slot * size + at;
    C next = *carry;
    // Zero is kept from a power that is infinite.
    if (params.carries.passes[slot] && !(state.re == 0 && state.im == 0)) {
      const Complex<double> p = power(params.backward ? conj(k) : k, steps);
      const Complex<double> through = p * Complex<double>{state.re, state.im};
      next = next + C{Real(through.re), Real(through.im)};
    }
    *carry = state = next;
  }
}

// dk = scale w sum of the parts, in double and in one order. One thread an element of dk.
template <class Real>
__global__ void __launch_bounds__(kSumThreads) spectral_sum(SumParams params) {
  using C = Complex<Real>;
  const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (index >= params.spectrum * params.k_batch) return;
  const int64_t at = index % params.spectrum;
  const int64_t f = at / params.channels % spectrum_columns(params.width);
  const int first = offset(uint32_t(index / params.spectrum), params.k_size, params.stride);
  Complex<double> sum = {0, 0};
  for (int sharer = 0; sharer < params.sharers; ++sharer) {
    const int64_t batch = first + offset(sharer, params.sharer_size, params.stride);
    const C* part = static_cast<const C*>(params.parts) + batch * params.chunks * params.spectrum + at;
    for (int chunk = 0; chunk < params.chunks; ++chunk, part += params.spectrum) {
      sum = sum + Complex<double>{part->re, part->im};
    }
  }
  const double scale = f == 0 || 2 * f == params.width ? params.scale : 2 * params.scale;
  static_cast<C*>(params.dk)[index] = {Real(sum.re * scale), Real(sum.im * scale)};
}

}  // namespace cssm::cuda
