// The tables of spectral kernels this machine can run, and a wrapper that forces streaming stores.
#pragma once

#include <string>
#include <vector>

#include "cpu/spectral_block.h"

namespace cssm::testing {

struct SpectralTable {
  std::string name;
  SpectralKernels kernels;
};

// One an instruction set, best first.
std::vector<SpectralTable> spectral_tables();
// The best set's with frames stored past the caches, which the drivers ask for only where results outgrow them.
SpectralTable streaming_spectral_table();
// All of the above.
std::vector<SpectralTable> all_spectral_tables();

}  // namespace cssm::testing
