// spectral_scan, forward and backward, against its definition: every instruction set and dtype, random problems and
// chosen ones.
#include <string>
#include <vector>

#include "check.h"
#include "spectral_case.h"
#include "spectral_reference.h"
#include "spectral_tables.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

Array rounded_to(DType dtype, const Dims& dims, const Complexes& values) {
  Array out(dtype, dims);
  for (int64_t i = 0; i < out.size(); ++i) out.set(i, values[size_t(i)]);
  return out;
}

class Checker {
 public:
  // In every dtype, with the same operands.
  void check(SpectralCase c, uint64_t seed) {
    Random of_reference(seed);
    const SpectralInputs exact = random_inputs(c, of_reference);
    const SpectralForwardReference forward = forward_reference(c, exact);
    const SpectralBackwardReference backward = backward_reference(c, exact, forward);
    for (const DType dtype : {DType::kF32, DType::kF64, DType::kBF16, DType::kF16}) {
      c.dtype = dtype;
      Random random(seed);
      const SpectralInputs in = random_inputs(c, random);
      // Not the forward pass's own, so that the backward pass is tested alone.
      const Array checkpoints =
          rounded_to(spectrum_dtype(dtype), c.spectra(c.batch, c.checkpoints()), forward.checkpoints);
      for (const SpectralTable& table : tables_) {
        TestPool& pool = pools_[random.below(3)];
        const std::string where = table.name + " " + c.describe();
        const SpectralForwardResult f = run_forward(c, in, table.kernels, pool);
        expect_near("y", f.y, forward.y, where);
        if (c.returns_final) expect_near("final", f.final_state, forward.final_state, where);
        if (c.saves) expect_near("checkpoints", f.checkpoints, forward.checkpoints, where);
        const SpectralBackwardResult b = run_backward(c, in, checkpoints, table.kernels, pool);
        expect_near("dx", b.dx, backward.dx, where);
        if (c.wants_dk) expect_near("dk", b.dk, backward.dk, where);
        if (c.wants_dh0) expect_near("dh0", b.dh0, backward.dh0, where);
      }
    }
  }

 private:
  std::vector<SpectralTable> tables_ = all_spectral_tables();
  TestPool pools_[3] = {TestPool(1), TestPool(2), TestPool(3)};
};

Dims random_broadcast(Dims dims, Random& random) {
  for (int64_t& size : dims) {
    if (random.chance(0.4)) size = 1;
  }
  return dims;
}

// Every field but the steps drawn at random, with channels around whole vectors.
SpectralCase random_case(int64_t steps, int64_t most_elements, Random& random) {
  SpectralCase c;
  do {
    Dims batch(size_t(random.below(3)));
    for (int64_t& size : batch) size = 1 + random.below(3);
    c = spectral_case(batch, steps, 1 + random.below(12), 1 + random.below(12),
                      random.one_of<int64_t>({1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 21, 32, 37}));
  } while (product(c.frames(c.batch)) > most_elements);
  c.reverse = random.chance(0.5);
  c.last_only = random.chance(0.25);
  c.x = random_broadcast(c.batch, random);
  c.k = random_broadcast(c.batch, random);
  c.h0 = random_broadcast(c.batch, random);
  c.reset = random_broadcast(c.batch, random);
  c.has_h0 = random.chance(0.5);
  c.has_reset = random.chance(0.5);
  c.saves = random.chance(0.7);
  c.returns_final = random.chance(0.7);
  c.has_ct = random.chance(0.85);
  c.has_ct_final = random.chance(0.5);
  c.wants_dk = random.chance(0.75);
  c.wants_dh0 = random.chance(0.5);
  return c;
}

// Around whole segments between checkpoints, and whole windows of steps.
void steps_and_spacings(Checker& checker) {
  Random random(1);
  for (const int64_t steps : {1, 2, 3, 8, 9, 17}) {
    for (const int64_t spacing : {2, 3, 8}) {
      for (int i = 0; i < 8; ++i) {
        SpectralCase c = random_case(steps, 6000, random);
        c.spacing = spacing;
        c.reverse = i % 2;
        checker.check(c, random.bits());
      }
    }
  }
}

// The first step in the order of the scan is no exception: what a reset cuts off there is h0.
void every_step_reset(Checker& checker) {
  Random random(2);
  for (const bool reverse : {false, true}) {
    for (const int64_t steps : {1, 4}) {
      // Random flags of 0.2: over this many batch elements every step is reset in some.
      SpectralCase c = spectral_case({24}, steps, 3, 4, 5);
      c.reverse = reverse;
      c.spacing = 2;
      c.has_h0 = c.has_reset = c.has_ct_final = c.wants_dh0 = true;
      checker.check(c, random.bits());
    }
  }
}

// Each operand over every subset of two batch dimensions.
void broadcast_patterns(Checker& checker) {
  Random random(3);
  const auto masked = [](int64_t mask) { return Dims{mask & 1 ? 1 : 2, mask & 2 ? 1 : 3}; };
  for (int64_t k = 0; k < 4; ++k) {
    for (int64_t other = 0; other < 4; ++other) {
      SpectralCase c = spectral_case({2, 3}, 5, 4, 5, random.one_of<int64_t>({2, 8, 19}));
      c.spacing = 2;
      c.reverse = random.chance(0.5);
      c.k = masked(k);
      c.x = masked(other);
      c.h0 = masked((other + 1) % 4);
      c.reset = masked((other + k) % 4);
      c.has_h0 = c.has_reset = c.has_ct_final = c.wants_dh0 = true;
      checker.check(c, random.bits());
    }
  }
}

// So many that one k's sums of dk, cut into 64 parts, are of more than one element.
void a_batch_of_one_k(Checker& checker) {
  SpectralCase c = spectral_case({70}, 3, 2, 3, 3);
  c.k = {1};
  c.spacing = 2;
  c.has_h0 = c.wants_dh0 = true;
  checker.check(c, 4);
}

// Frames in several parts of rows, and a window of several frames' steps that all threads work on.
void large_frames(Checker& checker) {
  for (const Dims& size : {Dims{3, 35, 33}, Dims{3, 34, 40}, Dims{68, 22, 22}}) {
    SpectralCase c = spectral_case({}, size[0], size[1], size[2], 2);
    c.has_reset = c.has_h0 = c.has_ct_final = c.wants_dh0 = true;
    checker.check(c, 5);
  }
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  Checker checker;
  test("steps and spacings", [&] { steps_and_spacings(checker); });
  test("every step reset", [&] { every_step_reset(checker); });
  test("broadcast patterns", [&] { broadcast_patterns(checker); });
  test("a batch of one k", [&] { a_batch_of_one_k(checker); });
  test("large frames", [&] { large_frames(checker); });
  return exit_status();
}
