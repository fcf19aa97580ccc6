#include "cuda/simt/fibers.h"

#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

namespace cssm::cuda::simt {

Index threadIdx, blockIdx, blockDim, gridDim;

namespace {

constexpr size_t kStackBytes = 256 << 10;
constexpr int kRunning = 0, kDone = -1;  // else the line of the barrier it waits at

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  int waits_at = kRunning;
};

std::mutex running;
bool last_first = false;
std::vector<Fiber> fibers;
std::vector<std::max_align_t> shared;
ucontext_t scheduler;
size_t current = 0;
const std::function<void()>* body = nullptr;

[[noreturn]] void fail(const char* what, int line, int other) {
  std::fprintf(stderr, "simt: block %u thread %zu: %s (line %d, another at %d; -1 has returned)\n", blockIdx.x, current,
               what, line, other);
  std::abort();
}

void run_thread() {
  (*body)();
  fibers[current].waits_at = kDone;
}

void start(Fiber& fiber) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = &scheduler;
  makecontext(&fiber.context, run_thread, 0);
}

void run_block(size_t threads) {
  std::memset(shared.data(), 0xff, shared.size() * sizeof(shared[0]));
  for (size_t i = 0; i < threads; ++i) start(fibers[i]);
  do {
    for (size_t i = 0; i < threads; ++i) {
      current = last_first ? threads - 1 - i : i;
      threadIdx = {unsigned(current), 0, 0};
      fibers[current].waits_at = kRunning;
      swapcontext(&scheduler, &fibers[current].context);
    }
    for (current = 1; current < threads; ++current) {
      if (fibers[current].waits_at != fibers[0].waits_at) {
        fail("not every thread comes to the barrier", fibers[current].waits_at, fibers[0].waits_at);
      }
    }
  } while (fibers[0].waits_at != kDone);
}

}  // namespace

void* shared_memory() { return shared.data(); }

void barrier(int line) {
  fibers[current].waits_at = line;
  swapcontext(&fibers[current].context, &scheduler);
}

void set_last_thread_first(bool yes) { last_first = yes; }

void run_grid(Index grid, Index block, size_t shared_bytes, const std::function<void()>& thread) {
  const std::lock_guard<std::mutex> lock(running);
  if (fibers.size() < block.x) fibers.resize(block.x);
  shared.resize(shared_bytes / sizeof(std::max_align_t) + 1);
  gridDim = grid;
  blockDim = block;
  body = &thread;
  for (unsigned x = 0; x < grid.x; ++x) {
    blockIdx = {x, 0, 0};
    run_block(block.x);
  }
}

}  // namespace cssm::cuda::simt
