// A block of threads at work on the frames of a group of channels of one batch element, over a chunk of the steps.
//
// A row's thread holds two rows of a channel in registers, as one complex transform; a column's thread a whole column.
// Both read and write one row or column of z in shared memory, so a frame needs two barriers: rows, columns, rows. The
// other spectra in shared memory are only touched by their column's thread. Neighbouring threads have neighbouring
// channels. Frames go straight between global memory and registers: with groups of 32 bytes each access fills whole
// sectors, all of a thread's loads are in flight together, and channels that are no multiple of a group need no other
// path.
#pragma once

#include <cstdint>

#include "cuda/fft.h"
#include "cuda/pixels.h"
#include "cuda/spectral_layout.h"
#include "cuda/spectral_params.h"

namespace cssm::cuda {

// Sum over the dimensions of index times stride, of the row-major index of an array of these sizes.
__device__ __forceinline__ int offset(uint32_t index, const uint32_t (&size)[kMaxBatchDims],
                                      const int32_t (&stride)[kMaxBatchDims]) {
  int at = 0;
#pragma unroll
  for (int d = kMaxBatchDims - 1; d >= 0; --d) {
    at += int(index % size[d]) * stride[d];
    index /= size[d];
  }
  return at;
}

template <class Real, int kMost>
class Block {
 public:
  using C = Complex<Real>;

  __device__ explicit Block(const SpectralScan& scan, int first_chunk) : scan(scan), first_chunk_(first_chunk) {}

  const SpectralScan& scan;

 private:
  // Neighbouring groups run together: where a group has less than a sector's channels, they share it in L2.
  const int first_chunk_;
  const unsigned groups_ = ((unsigned(scan.channels) - 1) >> scan.group_log2) + 1, of_group_ = blockIdx.x / groups_;
  const int first_channel_ = int(blockIdx.x % groups_ << scan.group_log2);

 public:
  const int columns = spectrum_columns(scan.width), group = 1 << scan.group_log2, tasks = columns * group;
  const int chunk = first_chunk_ + int(of_group_ / scan.batch), batch = int(of_group_ % scan.batch);
  // The chunk's steps.
  const int begin = chunk * scan.chunk_steps;
  const int end = scan.steps - begin < scan.chunk_steps ? scan.steps : begin + scan.chunk_steps;

  // One thread of all that work on this chunk of this batch element.
  __device__ bool leads() const { return threadIdx.x == 0 && first_channel_ == 0; }

  // Of the spectra in shared memory, the i-th.
  __device__ C* spectrum(int i) const { return z_ + scan.height * (pitch_ + i * tasks); }

  __device__ int time(int step) const { return scan.reverse ? scan.steps - 1 - step : step; }
  // Position among an operand's batch elements.
  __device__ int position(const int32_t (&stride)[kMaxBatchDims]) const {
    return offset(batch, scan.batch_size, stride);
  }
  // Frame of a result, or of a cotangent, which may hold the last alone.
  __device__ int frame(int step, bool last_only) const { return last_only ? batch : batch * scan.steps + time(step); }
  // Elements of a spectrum in global memory.
  __device__ int64_t spectrum_size() const { return int64_t(scan.height * columns) * scan.channels; }

  // z = 2 rfft over each row of a frame.
  __device__ __forceinline__ void rows_forward(const void* frames, int frame) const {
    for_row_pairs([&](auto length, int row, int lane) {
      constexpr int W = decltype(length)::value;
      C rows[W];
      const bool has_second = row + 1 < scan.height;
      load_rows(frames, row_pair<W>(frame, row, lane), scan.storage, rows);
      fft(rows);
      C* const first = z_ + row * pitch_ + lane;
#pragma unroll
      for (int f = 0; f <= W / 2; ++f) {
        const C a = rows[f], b = conj(rows[(W - f) % W]);
        first[f * group] = a + b;
        if (has_second) first[f * group + pitch_] = {a.im - b.im, b.re - a.re};
      }
    });
  }

  // A frame from z, the inverse transform over each row: imaginary parts of the columns 0 and W/2 are dropped.
  __device__ __forceinline__ void rows_inverse(void* frames, int frame) const {
    for_row_pairs([&](auto length, int row, int lane) {
      constexpr int W = decltype(length)::value;
      C rows[W];
      const bool has_second = row + 1 < scan.height;
      const C* const first = z_ + row * pitch_ + lane;
      const C* const second = first + (has_second ? pitch_ : 0);
#pragma unroll
      for (int f = 0; f <= W / 2; ++f) {
        const C a = first[f * group], b = second[f * group];
        if (f == 0 || 2 * f == W) {
          rows[f] = {a.re, b.re};
        } else {
          rows[f] = {a.re - b.im, a.im + b.re};
          rows[W - f] = {a.re + b.im, b.re - a.im};
        }
      }
      inverse_fft(rows);
      const Real scale = Real(1) / Real(kSpectrumScale * scan.height * W);
#pragma unroll
      for (int w = 0; w < W; ++w) rows[w] = scaled(rows[w], scale);
      if (is_mine(lane)) store_rows(rows, row_pair<W>(frame, row, lane), scan.storage, has_second, frames);
    });
  }

  // body(height as a constant, column), column the place of its first element in z and in the spectra.
  template <class Body>
  __device__ __forceinline__ void for_columns(const Body& body) const {
    with_length<kMost>(scan.height, [&](auto length) {
      for (int column = int(threadIdx.x); column < tasks; column += int(blockDim.x)) body(length, column);
    });
  }
  template <int H>
  __device__ __forceinline__ void load_column(int column, C (&s)[H]) const {
#pragma unroll
    for (int v = 0; v < H; ++v) s[v] = z_[v * pitch_ + column];
  }
  template <int H>
  __device__ __forceinline__ void store_column(int column, const C (&s)[H]) const {
#pragma unroll
    for (int v = 0; v < H; ++v) z_[v * pitch_ + column] = s[v];
  }

  // body(place in shared memory, place in a spectrum in global memory, f), for the elements of this thread's columns;
  // the global place is -1 where the group has no such channel.
  template <class Body>
  __device__ __forceinline__ void for_elements(const Body& body) const {
    for (int column = int(threadIdx.x); column < tasks; column += int(blockDim.x)) {
      const int lane = column & (group - 1), f = column >> scan.group_log2;
      const int64_t first = int64_t(f) * scan.channels + first_channel_ + lane;
      for (int v = 0; v < scan.height; ++v) {
        body(v * tasks + column, is_mine(lane) ? int64_t(v * columns) * scan.channels + first : -1, f);
      }
    }
  }
  // Columns of the half spectrum stand for one or two of the whole.
  __device__ Real weight(int f) const { return f == 0 || 2 * f == scan.width ? Real(1) : Real(2); }

  // to = scale * from, as far as there is any.
  __device__ __forceinline__ void load_spectrum(const void* from, int index, Real scale, C* to) const {
    const C* const source = static_cast<const C*>(from) + (from ? index * spectrum_size() : 0);
    for_elements([&](int i, int64_t at, int) { to[i] = from && at >= 0 ? scaled(source[at], scale) : C{0, 0}; });
  }
  __device__ __forceinline__ void store_spectrum(const C* from, Real scale, void* to, int index) const {
    C* const target = static_cast<C*>(to) + index * spectrum_size();
    for_elements([&](int i, int64_t at, int) {
      if (at >= 0) target[at] = scaled(from[i], scale);
    });
  }

 private:
  __device__ bool is_mine(int lane) const { return first_channel_ + lane < scan.channels; }

  // body(width as a constant, first of two rows, channel of the group); the same thread each time.
  template <class Body>
  __device__ __forceinline__ void for_row_pairs(const Body& body) const {
    with_length<kMost>(scan.width, [&](auto length) {
      const int pairs = (scan.height + 1) / 2;
      for (int task = int(threadIdx.x); task < pairs << scan.group_log2; task += int(blockDim.x)) {
        body(length, 2 * (task >> scan.group_log2), task & (group - 1));
      }
    });
  }

  // Where there is no second row, or no such channel, another is read in its place, and nothing written.
  template <int W>
  __device__ __forceinline__ RowPair row_pair(int frame, int row, int lane) const {
    const int channel = is_mine(lane) ? first_channel_ + lane : scan.channels - 1;
    const int64_t first = (int64_t(frame) * scan.height + row) * W * scan.channels + channel;
    return {first, scan.channels, row + 1 < scan.height ? W * int64_t(scan.channels) : 0};
  }

  const int pitch_ = row_pitch(columns, group);
  C* const z_ = dynamic_shared<C>();
};

// Blocks of an SM that registers must allow for.
template <class Real, int kMost>
inline constexpr int kBlocksPerSm = kMost * sizeof(Real) <= 64    ? 3
                                    : kMost * sizeof(Real) <= 128 ? 2
                                                                  : 1;

}  // namespace cssm::cuda
