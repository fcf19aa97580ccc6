#include "cpu/spectral_frames.h"

namespace cssm {

void share(ThreadPool& pool, int64_t n, int64_t pixels, const Body& body) {
  constexpr int64_t kFewPixels = 3 << 10;
  if (n * pixels >= kFewPixels) return parallel_for(pool, n, body);
  parallel_for(pool, 1, [&](int64_t) {
    for (int64_t i = 0; i < n; ++i) body(i);
  });
}

void share_groups(ThreadPool& pool, int64_t n, int64_t pixels, const std::function<void(Range, const Sharing&)>& run) {
  // A phase costs a few wake-ups of the pool; a core transforms this many pixels there and back in about half a
  // millisecond.
  constexpr int64_t kSmallPixels = 32 << 10;
  constexpr int64_t kBusyPercent = 70;
  const int64_t threads = pool.num_threads();
  const int64_t rounds = (n + threads - 1) / threads;
  if (100 * n >= kBusyPercent * rounds * threads || pixels < kSmallPixels) {
    const ForEach serial = [](int64_t count, const Body& body) {
      for (int64_t i = 0; i < count; ++i) body(i);
    };
    share(pool, n, pixels, [&](int64_t group) { run({group, group + 1}, {serial, false, n <= threads}); });
  } else {
    run({0, n}, {[&pool](int64_t count, const Body& body) { parallel_for(pool, count, body); }, true, false});
  }
}

int64_t window_steps(bool spread, int64_t z_bytes) {
  constexpr int64_t kMostInCache = 8;
  constexpr int64_t kSpreadBytes = 4 << 20, kMostSpread = 64;
  return spread ? std::clamp<int64_t>(kSpreadBytes / z_bytes, 1, kMostSpread)
                : std::clamp<int64_t>(kWindowBytes / z_bytes, 1, kMostInCache);
}

std::vector<int64_t> batch_positions(const std::vector<int64_t>& full, const std::vector<int64_t>& have) {
  std::vector<int64_t> positions{0};
  for (size_t d = 0; d < full.size(); ++d) {
    std::vector<int64_t> finer;
    for (const int64_t outer : positions) {
      for (int64_t i = 0; i < full[d]; ++i) finer.push_back(outer * have[d] + (have[d] == 1 ? 0 : i));
    }
    positions = std::move(finer);
  }
  return positions;
}

}  // namespace cssm
