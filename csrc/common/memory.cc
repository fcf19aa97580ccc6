#include "common/memory.h"

#include <fstream>

namespace cssm {
namespace {

// sysconf(_SC_LEVEL3_CACHE_SIZE) adds up the slices of all cores on some machines: ten times what this core sees.
int64_t read_cache_bytes() {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");
  int64_t size = 0;
  char unit = 0;
  if (file >> size >> unit && size > 0) return unit == 'M' ? size << 20 : (unit == 'K' ? size << 10 : size);
  return int64_t{32} << 20;
}

}  // namespace

int64_t last_level_cache_bytes() {
  static const int64_t bytes = read_cache_bytes();
  return bytes;
}

}  // namespace cssm
