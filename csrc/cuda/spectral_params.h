// What the kernels of spectral_scan are given: structs of plain data, passed by value.
#pragma once

#include <cstdint>
#include <type_traits>

namespace cssm::cuda {

enum class Storage : int32_t { kAsComputed, kBF16, kF16 };

inline constexpr int kMaxBatchDims = 8;

// Row-major arrays: frames (batch..., steps, height, width, channels), spectra (batch..., height, width / 2 + 1,
// channels) complex in the precision of the state, reset (batch..., steps). An operand's stride is in batch elements, 0
// where it is broadcast; absent operands are null. Batch times steps times channels is below 2^31: indices of frames,
// of spectra and of blocks are ints, places within an array are not. Steps are counted in the order of the scan. Height
// and width are powers of two.
struct SpectralScan {
  int32_t batch, steps, height, width, channels;
  int32_t spacing;      // steps between kept states
  int32_t chunk_steps;  // of a block of the grid: a multiple of spacing, or all
  int32_t group_log2;   // channels of a block
  Storage storage;
  bool reverse;
  uint32_t batch_size[kMaxBatchDims];  // padded with ones
  int32_t k_stride[kMaxBatchDims], x_stride[kMaxBatchDims], h0_stride[kMaxBatchDims], reset_stride[kMaxBatchDims];
  const void* k;
  const void* x;
  const void* h0;
  const uint8_t* reset;
};

// Where the steps are cut into chunks, each is first run from zero, for what it adds to the state it hands on.
// carries[c][batch] is that state, and `passes` tells whether the one handed in gets through, no step being reset. The
// chain then puts the true state there, from which the scan proper runs each chunk.
struct Carries {
  void* states;
  uint8_t* passes;
};

struct ForwardParams {
  SpectralScan scan;
  bool carry_only;  // the first run
  bool last_only;
  int32_t first_chunk;
  void* y;
  void* final_state;
  void* checkpoints;  // states before steps spacing, 2 spacing, ...: (batch..., checkpoints, height, ...); or null
  Carries carries;
};

// ct has y's shape; ct and ct_final may be null. dk_parts and dh0 may be null, dk_parts with checkpoints, x and h0.
struct BackwardParams {
  SpectralScan scan;
  bool carry_only;
  bool last_only;
  int32_t first_chunk;
  int32_t kept;  // states in shared memory
  const void* checkpoints;
  const void* ct;
  const void* ct_final;
  void* dx;
  void* dk_parts;  // (batch, chunks, height, ...), unscaled
  void* dh0;
  Carries carries;
};

struct ChainParams {
  SpectralScan scan;
  bool backward;
  int32_t chunks;
  const void* ct_final;
  Carries carries;
};

// dk of each batch element of k is the sum of the parts of those that share it.
struct SumParams {
  int64_t spectrum;  // elements
  int64_t channels;
  int32_t width;
  int32_t k_batch, sharers, chunks;
  uint32_t k_size[kMaxBatchDims],
      sharer_size[kMaxBatchDims];  // of the dimensions k has, and of those it is shared over
  int32_t stride[kMaxBatchDims];   // of the batch, for either
  double scale;                    // of a column that stands for itself alone
  const void* parts;
  void* dk;
};

template <class Params>
inline constexpr bool kIsPlain = std::is_trivially_copyable_v<Params> && std::is_standard_layout_v<Params>;
static_assert(kIsPlain<ForwardParams> && kIsPlain<BackwardParams> && kIsPlain<ChainParams> && kIsPlain<SumParams>);

}  // namespace cssm::cuda
