#include "common/isa.h"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace cssm {
namespace {

bool machine_has(Isa isa) {
#if defined(CSSM_X86_ISAS)
  __builtin_cpu_init();
  switch (isa) {
    case Isa::kBaseline: return true;
    case Isa::kAvx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::kAvx512:
      return machine_has(Isa::kAvx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
  return false;
#else
  return isa == Isa::kBaseline;
#endif
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kBaseline: return "baseline";
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512: return "avx512";
  }
  return "unknown";
}

Isa select_isa() {
  constexpr Isa kBestFirst[] = {Isa::kAvx512, Isa::kAvx2, Isa::kBaseline};
  if (const char* wanted = std::getenv("CSSM_KERNELS_ISA")) {
    for (Isa isa : kBestFirst) {
      if (std::strcmp(wanted, isa_name(isa)) == 0 && machine_has(isa)) return isa;
    }
    throw std::runtime_error("CSSM_KERNELS_ISA is \"" + std::string(wanted) +
                             "\"; expected one that this machine has of: avx512, avx2, baseline");
  }
  for (Isa isa : kBestFirst) {
    if (machine_has(isa)) return isa;
  }
  return Isa::kBaseline;
}

}  // namespace cssm
