#include "cuda/spectral_plan.h"

#include <algorithm>
#include <stdexcept>

#include "cuda/spectral_layout.h"

namespace cssm::cuda {
namespace {

constexpr int kMostGroupLog2 = 3;  // 32 bytes of single precision: a sector
constexpr int kHalfSector = 16;    // bytes, below which a second block on the SM is no gain
constexpr int kWarp = 32;

int next_log2(int n) {
  int log2 = 0;
  while (1 << log2 < n) ++log2;
  return log2;
}

int rounded_down_to_power(size_t n) { return n ? 1 << (next_log2(int(n) + 1) - 1) : 0; }

}  // namespace

Plan make_plan(const SpectralScan& scan, int spectra, bool keeps_states, size_t complex_bytes,
               const GpuLimits& limits) {
  const int columns = spectrum_columns(scan.width), most_kept = keeps_states ? scan.spacing : 0;
  const int least_kept = std::min(most_kept, 2);
  const auto fitting = [&](int group_log2, size_t budget) {
    const int group = 1 << group_log2;
    const size_t spectrum = size_t(scan.height) * columns * group * complex_bytes;
    const size_t rest = size_t(scan.height) * row_pitch(columns, group) * complex_bytes + spectra * spectrum;
    const size_t room = budget > rest ? (budget - rest) / spectrum : 0;
    const int kept = std::min(most_kept, rounded_down_to_power(std::min(room, size_t(most_kept))));
    const int tasks = std::max(columns, (scan.height + 1) / 2) * group;
    const int threads = std::min(kMostThreads, (tasks + kWarp - 1) / kWarp * kWarp);
    const bool fits = rest + kept * spectrum <= budget && kept >= std::min(most_kept, 1);
    return std::pair(fits, Plan{group_log2, kept, threads, rest + kept * spectrum});
  };
  const int element = scan.storage == Storage::kAsComputed ? int(complex_bytes) / 2 : 2;
  const int most_group = std::min(kMostGroupLog2, next_log2(scan.channels));
  const int least_group = std::min(most_group, next_log2(kHalfSector / element));
  const size_t half = std::min(limits.shared_per_block, limits.shared_per_sm / 2 - limits.reserved_per_block);
  // With fewer states kept, x is read and transformed more often: that counts for more than a second block on the SM,
  // and this for more than whole sectors.
  for (int kept = most_kept; kept >= least_kept; kept /= 2) {
    for (const size_t budget : {half, limits.shared_per_block}) {
      for (int group_log2 = most_group; group_log2 >= least_group; --group_log2) {
        const auto [fits, plan] = fitting(group_log2, budget);
        if (fits && plan.kept >= kept) return plan;
      }
    }
    if (kept == 0) break;
  }
  for (const int kept : {least_kept, 0}) {
    for (int group_log2 = most_group; group_log2 >= 0; --group_log2) {
      const auto [fits, plan] = fitting(group_log2, limits.shared_per_block);
      if (fits && plan.kept >= kept) return plan;
    }
  }
  throw std::runtime_error("cssm_kernels: the frames do not fit this GPU's shared memory");
}

}  // namespace cssm::cuda
