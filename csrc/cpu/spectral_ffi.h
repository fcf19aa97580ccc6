// What the FFI handlers of the spectral scans share: their operands, all of one rank, (batch..., time, height, width,
// channels).
#pragma once

#include "cpu/ffi.h"
#include "cpu/spectral_scan.h"

namespace cssm {

inline constexpr size_t kFrameDims = 4;  // after the batch: time, height, width, channels

inline Dims batch_of(const Buffer& buffer) { return Dims(buffer.dims.begin(), buffer.dims.end() - kFrameDims); }

inline int64_t from_end(const Buffer& buffer, size_t i) { return buffer.dims[buffer.dims.size() - i]; }

// `frames` has the full batch and all of height, width and channels.
inline SpectralProblem problem(const Buffer& frames, const Buffer& k, int64_t steps, int64_t spacing, bool reverse) {
  SpectralProblem p{};
  p.dtype = frames.dtype();
  p.batch = batch_of(frames);
  p.steps = steps;
  p.height = from_end(frames, 3);
  p.width = from_end(frames, 2);
  p.channels = from_end(frames, 1);
  p.reverse = reverse;
  p.spacing = spacing;
  p.k = k.data;
  p.k_batch = batch_of(k);
  p.h0_batch = p.reset_batch = p.x_batch = Dims(p.batch.size(), 1);
  return p;
}

inline void read_x(Operands& args, SpectralProblem& p) {
  const Buffer x = args.next();
  p.x = x.data;
  p.x_batch = batch_of(x);
}

inline void read_state_operands(Operands& args, bool has_h0, bool has_reset, SpectralProblem& p) {
  if (has_h0) {
    const Buffer h0 = args.next();
    p.h0 = h0.data;
    p.h0_batch = batch_of(h0);
  }
  if (has_reset) {
    const Buffer reset = args.next();
    p.reset = reinterpret_cast<const uint8_t*>(reset.data);
    p.reset_batch = batch_of(reset);
  }
}

}  // namespace cssm
