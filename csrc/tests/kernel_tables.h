// The kernel tables this machine can run, and wrappers of them that force, or count, streaming stores.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "common/isa.h"
#include "cpu/linear_scan_block.h"

namespace cssm::testing {

struct KernelTable {
  std::string name;
  LinearScanKernels kernels;
};

bool machine_has(Isa isa);

template <class Kernels>
struct TableOf {
  std::string name;
  const Kernels& kernels;
};

// Of any kind of kernels, one an instruction set that this machine has, best first.
#if defined(CSSM_X86_ISAS)
#define CSSM_MACHINE_TABLES(kernels) tables_of(avx512::kernels, avx2::kernels, baseline::kernels)
template <class Kernels>
std::vector<TableOf<Kernels>> tables_of(const Kernels& (*avx512)(), const Kernels& (*avx2)(),
                                        const Kernels& (*baseline)()) {
  std::vector<TableOf<Kernels>> tables;
  if (machine_has(Isa::kAvx512)) tables.push_back({"avx512", avx512()});
  if (machine_has(Isa::kAvx2)) tables.push_back({"avx2", avx2()});
  tables.push_back({"baseline", baseline()});
  return tables;
}
#else
#define CSSM_MACHINE_TABLES(kernels) tables_of(baseline::kernels)
template <class Kernels>
std::vector<TableOf<Kernels>> tables_of(const Kernels& (*baseline)()) {
  return {{"baseline", baseline()}};
}
#endif

// One an instruction set, best first.
std::vector<KernelTable> machine_tables();
// The same with every output stored past the caches, which the driver asks for only where outputs outgrow them.
std::vector<KernelTable> streaming_tables();
// The best set's, counting calls by whether they asked for streaming stores.
KernelTable counting_table();
inline std::atomic<int> streaming_calls{0}, plain_calls{0};

}  // namespace cssm::testing
