// With the adjoint state p_t, the cotangent of S_t brought to the form of a spectrum,
//
//     p_t = rfft2(ct_t) + r_{t+1},   r_t = conj(k) p_t, 0 if reset_t,   dx_t = irfft2(p_t),
//     dk = w sum_t conj(p_t) S_{t-1} over steps that are not reset,   dh0 = w conj(r_1),
//
// where w = (1 for f = 0, W/2, else 2) / (H W) and JAX's cotangents have no conjugate (cotangent of S_t = w conj(p_t)).
// S is run again from the checkpoints. Of a segment from one to the next, as many states as shared memory has room for
// are kept at a time, the later ones first; those before are run once more.
#pragma once

#include "cuda/spectral_block.h"

namespace cssm::cuda {

template <class Real, int kMost>
class Backward {
 public:
  using C = Complex<Real>;

  __device__ explicit Backward(const BackwardParams& params)
      : params_(params), block_(params.scan, params.first_chunk), scan_(block_.scan), wants_dk_(params.dk_parts) {
    k_ = block_.spectrum(0);
    r_ = block_.spectrum(1);
    dk_ = block_.spectrum(2);
    states_ = block_.spectrum(3);
    x_ = block_.position(scan_.x_stride);
    reset_ = block_.position(scan_.reset_stride);
  }

  __device__ __forceinline__ void run() {
    block_.load_spectrum(scan_.k, block_.position(scan_.k_stride), 1, k_);
    load_r();
    const int last = (block_.end - 1) / scan_.spacing;
    for (int segment = last; segment >= block_.begin / scan_.spacing; --segment) {
      const int begin = segment * scan_.spacing;
      const int count = min(scan_.spacing, block_.end - begin);
      if (wants_dk_) block_.load_spectrum(nullptr, 0, 1, dk_);
      const int kept = wants_dk_ ? params_.kept : count;
      for (int part = (count - 1) / kept * kept; part >= 0; part -= kept) {
        run_part(begin, part, min(kept, count - part));
      }
      if (wants_dk_) add_to_parts(segment == last);
    }
    store_r();
  }

 private:
  __device__ static int min(int a, int b) { return a < b ? a : b; }

  // Steps [part, part + count) after `begin`: first the states before each of them, then the adjoint, last step first.
  __device__ __forceinline__ void run_part(int begin, int part, int count) {
    const int ahead = wants_dk_ ? part + count - 1 : 0;
    if (wants_dk_) load_checkpoint(begin);
    for (int i = 0; i < ahead + count; ++i) {
      const bool adjoint = i >= ahead;
      const int step = begin + (adjoint ? part + count - 1 - (i - ahead) : i);
      const bool resets = this->resets(step);
      const bool has_frame = !adjoint || has_ct(step);
      if (has_frame) {
        block_.rows_forward(adjoint ? params_.ct : scan_.x,
                            adjoint ? block_.frame(step, params_.last_only) : x_ * scan_.steps + block_.time(step));
      }
      __syncthreads();
      if (adjoint) {
        adjoint_step(has_frame, resets, states_ + (step - begin - part) * scan_.height * block_.tasks);
      } else {
        // States before `part` are overwritten.
        C* const from = states_ + (i > part ? i - part : 0) * scan_.height * block_.tasks;
        forward_step(resets, from, i >= part ? from + scan_.height * block_.tasks : from);
      }
      __syncthreads();
      if (adjoint && !params_.carry_only) block_.rows_inverse(params_.dx, block_.frame(step, false));
    }
  }

  __device__ __forceinline__ void forward_step(bool resets, const C* from, C* to) const {
    block_.for_columns([&](auto length, int column) {
      constexpr int H = decltype(length)::value;
      C s[H];
      block_.load_column(column, s);
      fft(s);
#pragma unroll
      for (int v = 0; v < H; ++v) {
        const int i = v * block_.tasks + column;
        to[i] = resets ? s[v] : k_[i] * from[i] + s[v];
      }
    });
  }

  __device__ __forceinline__ void adjoint_step(bool has_ct, bool resets, const C* before) const {
    block_.for_columns([&](auto length, int column) {
      constexpr int H = decltype(length)::value;
      C p[H];
      if (has_ct) {
        block_.load_column(column, p);
        fft(p);
      } else {
#pragma unroll
        for (int v = 0; v < H; ++v) p[v] = {0, 0};
      }
#pragma unroll
      for (int v = 0; v < H; ++v) {
        const int i = v * block_.tasks + column;
        p[v] = p[v] + r_[i];
        if (wants_dk_ && !resets) dk_[i] = dk_[i] + conj(p[v]) * before[i];
        r_[i] = resets ? C{0, 0} : conj(k_[i]) * p[v];
      }
      if (params_.carry_only) return;
      inverse_fft(p);
      block_.store_column(column, p);
    });
  }

  __device__ bool resets(int step) const {
    return scan_.reset && scan_.reset[reset_ * scan_.steps + block_.time(step)];
  }
  __device__ bool has_ct(int step) const { return params_.ct && (!params_.last_only || step == scan_.steps - 1); }

  // r after the chunk's last step.
  __device__ __forceinline__ void load_r() const {
    if (params_.carry_only) return block_.load_spectrum(nullptr, 0, 1, r_);
    if (block_.end < scan_.steps) return block_.load_spectrum(params_.carries.states, carry(block_.chunk), 1, r_);
    block_.load_spectrum(params_.ct_final, block_.batch, kSpectrumScale * Real(scan_.height) * Real(scan_.width), r_);
    block_.for_elements([&](int i, int64_t, int f) { r_[i] = scaled(conj(r_[i]), 1 / block_.weight(f)); });
  }

  // r before the chunk's first step: the carry, or dh0.
  __device__ __forceinline__ void store_r() const {
    if (params_.carry_only) {
      block_.store_spectrum(r_, 1, params_.carries.states, carry(block_.chunk - 1));
      bool passes = true;
      for (int step = block_.begin; scan_.reset && step < block_.end; ++step) passes = passes && !resets(step);
      if (block_.leads()) params_.carries.passes[carry(block_.chunk - 1)] = passes;
    } else if (block_.begin == 0 && params_.dh0) {
      const Real scale = 1 / (kSpectrumScale * Real(scan_.height) * Real(scan_.width));
      block_.for_elements([&](int i, int64_t, int f) { r_[i] = scaled(conj(r_[i]), block_.weight(f)); });
      block_.store_spectrum(r_, scale, params_.dh0, block_.batch);
    }
  }
  __device__ int carry(int chunk) const { return chunk * scan_.batch + block_.batch; }

  // The state before a segment's first step, to the first place of those kept.
  __device__ __forceinline__ void load_checkpoint(int step) const {
    const int checkpoints = (scan_.steps - 1) / scan_.spacing;
    const void* const from = step == 0 ? scan_.h0 : params_.checkpoints;
    const int index =
        step == 0 ? block_.position(scan_.h0_stride) : block_.batch * checkpoints + step / scan_.spacing - 1;
    block_.load_spectrum(from, index, kSpectrumScale, states_);
  }

  // Long sums are added up in two levels: of a segment here, of the chunk in global memory.
  __device__ __forceinline__ void add_to_parts(bool is_first) const {
    const int chunks = (scan_.steps + scan_.chunk_steps - 1) / scan_.chunk_steps;
    C* const part =
        static_cast<C*>(params_.dk_parts) + int64_t(block_.batch * chunks + block_.chunk) * block_.spectrum_size();
    block_.for_elements([&](int i, int64_t at, int) {
      if (at >= 0) part[at] = is_first ? dk_[i] : part[at] + dk_[i];
    });
  }

  const BackwardParams& params_;
  const Block<Real, kMost> block_;
  const SpectralScan& scan_;
  const bool wants_dk_;
  C *k_, *r_, *dk_, *states_;
  int x_, reset_;  // batch elements of these operands
};

template <class Real, int kMost>
__global__ void __launch_bounds__(kMostThreads, (kBlocksPerSm<Real, kMost>)) spectral_backward(BackwardParams params) {
  Backward<Real, kMost>(params).run();
}

}  // namespace cssm::cuda
