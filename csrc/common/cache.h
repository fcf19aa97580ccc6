// Size of the last-level cache: outputs that outgrow it are stored past the caches.
#pragma once

#include <unistd.h>

#include <cstdint>

namespace cssm {

inline int64_t last_level_cache_bytes() {
#if defined(_SC_LEVEL3_CACHE_SIZE)
  static const int64_t bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (bytes > 0) return bytes;
#endif
  return int64_t{32} << 20;
}

}  // namespace cssm
