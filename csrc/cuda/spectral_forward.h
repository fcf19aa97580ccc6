// S_t = X_t if reset_t else k S_{t-1} + X_t with X = rfft2(x), and y = irfft2(S).
#pragma once

#include "cuda/spectral_block.h"

namespace cssm::cuda {

template <class Real, int kMost>
__global__ void __launch_bounds__(kMostThreads, (kBlocksPerSm<Real, kMost>)) spectral_forward(ForwardParams params) {
  using C = Complex<Real>;
  constexpr Real kIn = kSpectrumScale, kOut = Real(1) / kSpectrumScale;
  const Block<Real, kMost> block(params.scan, params.first_chunk);
  const SpectralScan& scan = block.scan;
  C* const k = block.spectrum(0);
  C* const state = block.spectrum(1);

  block.load_spectrum(scan.k, block.position(scan.k_stride), 1, k);
  if (params.carry_only) {
    block.load_spectrum(nullptr, 0, 1, state);
  } else if (block.chunk == 0) {
    block.load_spectrum(scan.h0, block.position(scan.h0_stride), kIn, state);
  } else {
    block.load_spectrum(params.carries.states, (block.chunk - 1) * scan.batch + block.batch, 1, state);
  }
  const int x = block.position(scan.x_stride) * scan.steps;
  const uint8_t* const reset = scan.reset ? scan.reset + block.position(scan.reset_stride) * scan.steps : nullptr;
  const int checkpoints = (scan.steps - 1) / scan.spacing;

  bool passes = true;
  for (int step = block.begin; step < block.end; ++step) {
    if (params.checkpoints && !params.carry_only && step > 0 && step % scan.spacing == 0) {
      block.store_spectrum(state, kOut, params.checkpoints, block.batch * checkpoints + step / scan.spacing - 1);
    }
    const bool resets = reset && reset[block.time(step)];
    const bool emits = !params.carry_only && (!params.last_only || step == scan.steps - 1);
    passes = passes && !resets;
    block.rows_forward(scan.x, x + block.time(step));
    __syncthreads();
    block.for_columns([&](auto length, int column) {
      constexpr int H = decltype(length)::value;
      C s[H];
      block.load_column(column, s);
      fft(s);
#pragma unroll
      for (int v = 0; v < H; ++v) {
        const int i = v * block.tasks + column;
        if (!resets) s[v] = k[i] * state[i] + s[v];
        state[i] = s[v];
      }
      if (!emits) return;
      inverse_fft(s);
      block.store_column(column, s);
    });
    __syncthreads();
    if (emits) block.rows_inverse(params.y, block.frame(step, params.last_only));
  }

  if (params.carry_only) {
    const int at = block.chunk * scan.batch + block.batch;
    block.store_spectrum(state, 1, params.carries.states, at);
    if (block.leads()) params.carries.passes[at] = passes;
  } else if (block.end == scan.steps && params.final_state) {
    block.store_spectrum(state, kOut, params.final_state, block.batch);
  }
}

}  // namespace cssm::cuda
