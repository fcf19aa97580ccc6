// CUDA events that a program records on its stream as it runs, and the time between two of them.
#pragma once

#include <cstdint>

namespace cssm::cuda {

// Milliseconds on the GPU from the last recording in slot `first` to that in slot `last`, waiting for the latter.
// Throws std::invalid_argument for a slot that nothing was recorded in, std::runtime_error where CUDA reports an error.
float elapsed_ms(int64_t first, int64_t last);

}  // namespace cssm::cuda
