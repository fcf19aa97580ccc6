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

// One an instruction set, best first.
std::vector<KernelTable> machine_tables();
// The same with every output stored past the caches, which the driver asks for only where outputs outgrow them.
std::vector<KernelTable> streaming_tables();
// The best set's, counting calls by whether they asked for streaming stores.
KernelTable counting_table();
inline std::atomic<int> streaming_calls{0}, plain_calls{0};

}  // namespace cssm::testing
