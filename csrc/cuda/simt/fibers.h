// Runs a kernel on the CPU, block after block: each thread is a fiber, run up to its next barrier in its turn.
//
// Aborts where the threads of a block do not all come to the same barrier. Shared memory starts as NaN. A race shows
// where the order of the turns matters, which is why tests run both orders.
#pragma once

#include <cstddef>
#include <functional>

namespace cssm::cuda::simt {

struct Index {
  unsigned x = 1, y = 1, z = 1;
};
extern Index threadIdx, blockIdx, blockDim, gridDim;

// Of the running block.
void* shared_memory();
// `line` tells one barrier from another.
void barrier(int line);

void set_last_thread_first(bool);
// One kernel at a time.
void run_grid(Index grid, Index block, size_t shared_bytes, const std::function<void()>& thread);

}  // namespace cssm::cuda::simt
