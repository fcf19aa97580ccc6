// The spectral operations' results have the same bits on any number of threads and on every run, sums of dk included.
#include <string>
#include <vector>

#include "check.h"
#include "cpu/fft2.h"
#include "spectral_case.h"
#include "spectral_tables.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

// Frames and steps from which threads may share one block of channels (share_groups), if blocks are few.
constexpr int64_t kSpreadPixels = 32 << 10;

class Checker {
 public:
  void check(const SpectralCase& c, const SpectralTable& table) {
    Random random(1);
    const SpectralInputs in = random_inputs(c, random);
    const SpectralForwardResult f = run_forward(c, in, table.kernels, pools_[0]);
    const SpectralBackwardResult b = run_backward(c, in, f.checkpoints, table.kernels, pools_[0]);
    for (TestPool& pool : pools_) {
      const SpectralForwardResult g = run_forward(c, in, table.kernels, pool);
      const SpectralBackwardResult d = run_backward(c, in, f.checkpoints, table.kernels, pool);
      const std::string where =
          table.name + " " + c.describe() + " on " + std::to_string(pool.num_threads()) + " threads: ";
      if (!g.y.same_bits(f.y) || !g.final_state.same_bits(f.final_state)) fail(where + "y differs from 1 thread's");
      if (!g.checkpoints.same_bits(f.checkpoints)) fail(where + "checkpoints differ from 1 thread's");
      if (!d.dx.same_bits(b.dx) || !d.dh0.same_bits(b.dh0)) fail(where + "dx or dh0 differs from 1 thread's");
      if (!d.dk.same_bits(b.dk)) fail(where + "dk differs from 1 thread's");
    }
  }

  void check(const Fft2Problem& p, const SpectralTable& table) {
    Random random(2);
    const Dims frames{p.count, p.height, p.width, p.channels}, spectra{p.count, p.height, p.width / 2 + 1, p.channels};
    const Array x = random_exact(p.dtype, frames, random), k = random_exact(spectrum_dtype(p.dtype), spectra, random);
    const Array first_spectra = poisoned(k.dtype(), spectra), first_frames = poisoned(p.dtype, frames);
    rfft2(p, x.bytes(), first_spectra.bytes(), table.kernels, pools_[0]);
    irfft2(p, k.bytes(), first_frames.bytes(), table.kernels, pools_[0]);
    for (TestPool& pool : pools_) {
      const Array got_spectra = poisoned(k.dtype(), spectra), got_frames = poisoned(p.dtype, frames);
      rfft2(p, x.bytes(), got_spectra.bytes(), table.kernels, pool);
      irfft2(p, k.bytes(), got_frames.bytes(), table.kernels, pool);
      const std::string where =
          table.name + " " + to_string(frames) + " on " + std::to_string(pool.num_threads()) + " threads: ";
      if (!got_spectra.same_bits(first_spectra)) fail(where + "rfft2 differs from 1 thread's");
      if (!got_frames.same_bits(first_frames)) fail(where + "irfft2 differs from 1 thread's");
    }
  }

 private:
  TestPool pools_[4] = {TestPool(1), TestPool(2), TestPool(5), TestPool(16)};
};

SpectralCase with_everything(SpectralCase c) {
  c.has_h0 = c.has_reset = c.has_ct_final = c.wants_dh0 = true;
  return c;
}

// One block, its windows of steps spread over the threads.
void one_block(Checker& checker) {
  const Dims sizes[] = {{68, 22, 22}, {9, 61, 60}};
  int i = 0;
  for (const SpectralTable& table : all_spectral_tables()) {
    SpectralCase c = with_everything(spectral_case({}, sizes[i % 2][0], sizes[i % 2][1], sizes[i % 2][2], 5));
    if (c.steps * c.height * c.width < kSpreadPixels) fail("these frames are too small to be shared");
    c.dtype = i % 3 ? DType::kF32 : DType::kBF16;
    c.reverse = i % 2;
    checker.check(c, table);
    ++i;
  }
}

// A k shared by a batch: its gradient is summed over elements that different threads work on.
void a_batch_of_one_k(Checker& checker) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    SpectralCase c = with_everything(spectral_case({3}, 34, 31, 32, 2));
    c.dtype = dtype;
    c.k = {1};
    checker.check(c, spectral_tables().front());
  }
}

// Blocks enough that each thread takes its own: many channels, or a batch of which one k's sums are cut in parts.
void many_blocks(Checker& checker) {
  for (const SpectralTable& table : all_spectral_tables()) {
    for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16}) {
      SpectralCase c = with_everything(spectral_case({2, 3}, 11, 6, 5, 37));
      c.dtype = dtype;
      c.k = {1, 3};
      c.spacing = 3;
      checker.check(c, table);
      c = with_everything(spectral_case({70}, 3, 4, 3, 3));
      c.dtype = dtype;
      c.k = {1};
      checker.check(c, table);
    }
  }
}

void transforms(Checker& checker) {
  for (const SpectralTable& table : all_spectral_tables()) {
    checker.check({DType::kF32, 1, 181, 182, 5}, table);
    checker.check({DType::kF64, 7, 12, 10, 21}, table);
    checker.check({DType::kBF16, 3, 15, 16, 40}, table);
  }
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  Checker checker;
  test("one block", [&] { one_block(checker); });
  test("a batch of one k", [&] { a_batch_of_one_k(checker); });
  test("many blocks", [&] { many_blocks(checker); });
  test("transforms", [&] { transforms(checker); });
  return exit_status();
}
