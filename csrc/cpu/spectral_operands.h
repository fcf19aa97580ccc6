// A spectral scan's operands, by batch element of the result and step of the scan.
#pragma once

#include <vector>

#include "cpu/spectral_frames.h"
#include "cpu/spectral_scan.h"

namespace cssm {

template <class C>
class SpectralOperands {
 public:
  SpectralOperands(const SpectralProblem& p, const SpectralKernelsOf<C>& kernels)
      : p(p),
        frames(kernels, p.dtype, p.height, p.width, p.channels, p.projection != nullptr),
        k_at(batch_positions(p.batch, p.k_batch)),
        x_at_(batch_positions(p.batch, p.x_batch)),
        h0_at_(batch_positions(p.batch, p.h0_batch)),
        reset_at_(batch_positions(p.batch, p.reset_batch)) {}

  const SpectralProblem& p;
  const SpectralFrames<C> frames;
  const std::vector<int64_t> k_at;

  int64_t batches() const { return int64_t(k_at.size()); }
  int64_t pixels() const { return p.steps * p.height * p.width; }
  int64_t time(int64_t step) const { return p.reverse ? p.steps - 1 - step : step; }

  const char* x(int64_t batch, int64_t step) const {
    return p.x + (x_at_[batch] * p.steps + time(step)) * frames.frame_bytes();
  }
  const char* k(int64_t batch) const { return p.k + k_at[batch] * frames.spectrum_bytes(); }
  const char* h0(int64_t batch) const { return p.h0 ? p.h0 + h0_at_[batch] * frames.spectrum_bytes() : nullptr; }
  bool resets(int64_t batch, int64_t step) const { return p.reset && p.reset[reset_at_[batch] * p.steps + time(step)]; }
  // Whether no state from before reaches the one after this step.
  bool starts(int64_t batch, int64_t step) const { return !p.filters && ((step == 0 && !p.h0) || resets(batch, step)); }
  // Position of a frame of the result, which may hold the last alone.
  int64_t frame_at(int64_t batch, int64_t step, bool last_only) const {
    return last_only ? batch : batch * p.steps + time(step);
  }
  // Position of the checkpoint before a step.
  int64_t checkpoint_at(int64_t batch, int64_t step) const { return batch * p.checkpoints() + step / p.spacing - 1; }

  // Column f after one more step: next = k state + X, or X where it starts, or k X.
  void step(int64_t batch, int64_t step, int64_t f, const C* z, const C* k, const C* state, C* next) const {
    if (p.filters) {
      frames.kernels.column_forward(frames.shape, f, z, next, frames.transform_scratch());
      frames.kernels.multiply(frames.shape.height, k, next, next);
    } else if (starts(batch, step)) {
      frames.kernels.column_forward(frames.shape, f, z, next, frames.transform_scratch());
    } else {
      frames.kernels.column_step(frames.shape, f, z, k, state, next, frames.transform_scratch());
    }
  }

 private:
  const std::vector<int64_t> x_at_, h0_at_, reset_at_;
};

}  // namespace cssm
