// What large arrays need to know of the machine's memory.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace cssm {

// Size of the last-level cache that a core sees: outputs that outgrow it are stored past the caches.
int64_t last_level_cache_bytes();

// Whether frames and spectra of so many bytes, read and written, are better stored past the caches.
inline bool outgrows_cache(int64_t bytes) { return bytes >= last_level_cache_bytes() / 2; }

// Asks for huge pages under a large array about to be written, as NumPy does for its own: XLA allocates results afresh,
// and with 4 KiB pages their first use costs more than the kernel. A hint; failure is harmless.
inline void advise_huge_pages(void* data, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  if (bytes < 2 * kHugePage) return;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + bytes) / kHugePage * kHugePage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)data;
  (void)bytes;
#endif
}

}  // namespace cssm
