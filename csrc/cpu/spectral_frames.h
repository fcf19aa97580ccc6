// What the spectral operations share: frames and spectra of a block of channels in and out of planar form, and how the
// blocks are shared out to threads.
#pragma once

#include <string.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "common/dtype.h"
#include "common/task_grid.h"
#include "common/threads.h"
#include "common/workspace.h"
#include "cpu/spectral_block.h"

namespace cssm {

using Body = std::function<void(int64_t)>;
using ForEach = std::function<void(int64_t n, const Body&)>;

template <class C>
class SpectralFrames {
 public:
  // `together`: all channels of a frame are worked on by one thread, or by all of them.
  SpectralFrames(const SpectralKernelsOf<C>& kernels, DType dtype, int64_t height, int64_t width, int64_t channels,
                 bool together = false)
      : kernels(kernels),
        shape{height, width, &fft_table<C>(height), &fft_table<C>(width)},
        channels(channels),
        unit(2 * kernels.lanes),
        storage_(dtype == DType::kBF16 ? kAsBF16 : (dtype == DType::kF16 ? kAsF16 : kAsComputed)),
        pixel_bytes_(int64_t(element_bytes(dtype))),
        together_(together) {}

  const SpectralKernelsOf<C>& kernels;
  const FrameShape<C> shape;
  const int64_t channels;
  const int64_t unit;  // scalars

  int64_t channel_blocks() const { return (channels + kernels.lanes - 1) / kernels.lanes; }
  // Blocks that one thread takes together: those that share cache lines, or all.
  int64_t group_blocks() const {
    if (together_) return channel_blocks();
    constexpr int64_t kLine = 64;
    return std::max<int64_t>(1, kLine / (kernels.lanes * pixel_bytes_));
  }
  int64_t groups() const { return (channel_blocks() + group_blocks() - 1) / group_blocks(); }
  Range group(int64_t i) const { return {i * group_blocks(), std::min((i + 1) * group_blocks(), channel_blocks())}; }
  // Of the pixels of two rows of a group.
  int64_t pair_bytes() const { return 2 * shape.width * group_blocks() * kernels.lanes * pixel_bytes_; }
  int64_t frame_bytes() const { return shape.height * shape.width * channels * pixel_bytes_; }
  int64_t spectrum_bytes() const { return shape.height * shape.columns() * channels * int64_t(2 * sizeof(C)); }
  int64_t z_size() const { return shape.z_units() * unit; }
  int64_t column_size() const { return shape.height * unit; }
  int64_t spectrum_size() const { return shape.spectrum_units() * unit; }
  C* transform_scratch() const { return workspace(Purpose::kTransform).template get<C>(shape.scratch_units() * unit); }

  // Pixels of some rows, and the first of them in a frame. Rows below are where theirs lie, of all channels.
  int64_t pixels(PairRange pairs) const { return rows_of(pairs) * shape.width; }
  int64_t first_pixel(PairRange pairs) const { return 2 * pairs.begin * shape.width; }
  template <class Char>
  Char* rows_at(Char* frame, PairRange pairs) const {
    return frame ? frame + first_pixel(pairs) * channels * pixel_bytes_ : nullptr;
  }

  void rows_forward(const char* pixel_rows, int64_t block, PairRange pairs, C* z) const {
    const int64_t rows = rows_of(pairs), lanes = block_channels(block);
    const char* first = pixel_rows + block_bytes(block);
    const C* planes = reinterpret_cast<const C*>(first);
    int64_t step = channels;
    if (staged(lanes)) {
      C* const pixels = workspace(Purpose::kPixels).template get<C>(rows * shape.width * kernels.lanes);
      kernels.gather[storage_](first, channels, rows * shape.width, lanes, pixels);
      planes = pixels;
      step = kernels.lanes;
    }
    kernels.rows_forward(shape, pairs, planes, step, z, transform_scratch());
  }

  // Fetches part i of a group's pixels, two parts a column, from its first block on, into the second cache, but for a
  // fourth: requests beyond what a core can have under way are lost, and those left to the transform go with its work.
  // Memory gives two lines at once, of which a group may need one: where another thread works on the group of the other
  // line at the same time (`abreast`), each fetches both lines of half the pixels.
  void prefetch_part(const char* frame, int64_t block, int64_t i, bool abreast) const {
    constexpr int64_t kLine = 64;
    const int64_t pixels = shape.height * shape.width, parts = 2 * shape.columns(), group = block / group_blocks();
    const int64_t bytes = std::min(group_blocks() * kernels.lanes, channels) * pixel_bytes_;
    const char* const first = frame + block_bytes(block);
    const auto fetch = [&](Range range, const char* at, int64_t bytes) {
      for (int64_t p = range.begin; p < range.end; ++p) {
        const char* const pixel = at + p * channels * pixel_bytes_;
        for (int64_t byte = 0; byte < bytes; byte += kLine) __builtin_prefetch(pixel + byte, 0, 2);
      }
    };
    if (abreast && bytes == kLine && (group ^ 1) < groups()) {
      const int64_t half = pixels / 2, second = group % 2;
      const Range range = part(half, parts, i), some{range.begin, (range.begin + range.end + 1) / 2};
      const int64_t own = second * half, other = half - own;
      fetch({own + range.begin, own + range.end}, first - second * kLine, 2 * kLine);
      fetch({other + some.begin, other + some.end}, first, kLine);
    } else {
      const Range range = part(pixels, parts, i);
      fetch({range.begin, range.begin + 3 * (range.end - range.begin) / 4}, first, bytes);
    }
  }

  void rows_inverse(const C* z, C scale, PairRange pairs, char* pixel_rows, int64_t block, bool stream) const {
    const int64_t rows = rows_of(pairs), lanes = block_channels(block);
    char* const first = pixel_rows + block_bytes(block);
    if (!staged(lanes)) {
      kernels.rows_inverse(shape, pairs, z, scale, reinterpret_cast<C*>(first), channels, stream, transform_scratch());
      return;
    }
    C* const pixels = workspace(Purpose::kPixels).template get<C>(rows * shape.width * kernels.lanes);
    kernels.rows_inverse(shape, pairs, z, scale, pixels, kernels.lanes, false, transform_scratch());
    kernels.scatter[storage_](pixels, rows * shape.width, lanes, first, channels);
  }

  // A block's channels of rows to others; zeros where there are none.
  void copy_rows(const char* from, PairRange pairs, char* to, int64_t block) const {
    const int64_t step = channels * pixel_bytes_, first = block_bytes(block);
    const size_t bytes = size_t(block_channels(block) * pixel_bytes_);
    for (int64_t at = first; at < first + pixels(pairs) * step; at += step) {
      if (from) {
        memcpy(to + at, from + at, bytes);
      } else {
        memset(to + at, 0, bytes);
      }
    }
  }

  // Column f of a spectrum (height, columns, channels); zeros where there is none.
  void load_column(const char* spectrum, int64_t block, int64_t f, PartScale<C> scale, C* column) const {
    if (!spectrum) {
      std::fill_n(column, column_size(), C(0));
      return;
    }
    kernels.load_column(shape.height, reinterpret_cast<const C*>(spectrum) + at(block, f),
                        2 * shape.columns() * channels, block_channels(block), scale, column);
  }
  void store_column(const C* column, PartScale<C> scale, char* spectrum, int64_t block, int64_t f,
                    bool stream = false) const {
    kernels.store_column(shape.height, column, scale, reinterpret_cast<C*>(spectrum) + at(block, f),
                         2 * shape.columns() * channels, block_channels(block), stream);
  }

 private:
  int64_t block_channels(int64_t block) const { return std::min(kernels.lanes, channels - block * kernels.lanes); }
  bool staged(int64_t lanes) const { return lanes < kernels.lanes || storage_ != kAsComputed; }
  int64_t rows_of(PairRange pairs) const { return std::min(2 * pairs.end, shape.height) - 2 * pairs.begin; }
  int64_t block_bytes(int64_t block) const { return block * kernels.lanes * pixel_bytes_; }
  int64_t at(int64_t block, int64_t f) const { return 2 * (f * channels + block * kernels.lanes); }

  const Storage storage_;
  const int64_t pixel_bytes_;
  const bool together_;
};

// How a set of groups is worked on: each by one thread, or all threads on the phases of a window of steps of them all
// (`spread`). `abreast`: each by one thread and no group waits for another. The results have the same bits.
struct Sharing {
  ForEach for_each;
  bool spread, abreast;
};

// Calls body(i) for 0 <= i < n: on the pool, or all on the caller where that takes no longer than to wake a thread.
// Each works on `pixels`, of all frames of a block.
void share(ThreadPool& pool, int64_t n, int64_t pixels, const Body& body);

// Calls run(groups, sharing) for ranges that cover [0, n). Where there are too few groups to keep the threads busy, and
// pixels enough (of all frames, of one block) to be worth it, one call gets all of them and a for_each on every thread.
void share_groups(ThreadPool& pool, int64_t n, int64_t pixels, const std::function<void(Range, const Sharing&)>& run);

// Steps in a window, by the bytes of z a step: as many as stay in a core's cache, or as keep every thread busy.
constexpr int64_t kWindowBytes = 192 << 10;
int64_t window_steps(bool spread, int64_t z_bytes);

// The frames of a window of steps of some groups, in parts of as many pairs of rows as stay in the nearest cache.
struct FrameParts {
  FrameParts(int64_t steps, int64_t pairs, int64_t pair_bytes)
      : steps(steps), pairs(pairs), parts(std::clamp<int64_t>(pairs * pair_bytes / kPartBytes, 1, pairs)) {}
  int64_t count(int64_t groups) const { return groups * steps * parts; }
  int64_t group(int64_t i) const { return i / (steps * parts); }
  int64_t step(int64_t i) const { return i / parts % steps; }
  PairRange range(int64_t i) const {
    const Range range = part(pairs, parts, i % parts);
    return {range.begin, range.end};
  }

  static constexpr int64_t kPartBytes = 32 << 10;
  int64_t steps, pairs, parts;
};

// Position in an operand of each batch element of the result.
std::vector<int64_t> batch_positions(const std::vector<int64_t>& full, const std::vector<int64_t>& have);

}  // namespace cssm
