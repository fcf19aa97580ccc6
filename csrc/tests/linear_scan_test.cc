// linear_scan, forward and backward, against its definition: every instruction set, random problems and chosen ones.
#include <vector>

#include "check.h"
#include "kernel_tables.h"
#include "scan_case.h"
#include "scan_reference.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

class Checker {
 public:
  Checker() {
    for (const auto& tables : {machine_tables(), streaming_tables()}) {
      tables_.insert(tables_.end(), tables.begin(), tables.end());
    }
  }

  void check(const ScanCase& c, Random& random) {
    const ScanInputs in = random_inputs(c, random);
    const ForwardReference forward = forward_reference(c, in);
    const BackwardReference backward = backward_reference(c, in);
    for (const KernelTable& table : tables_) {
      TestPool& pool = pools_[size_t(random.below(3))];
      const ForwardResult f = run_forward(c, in, table.kernels, pool);
      expect_close("h", f.h, forward.h, c, table.name);
      expect_close("final", f.final_state, forward.final_state, c, table.name);
      const BackwardResult b = run_backward(c, in, table.kernels, pool);
      expect_close("dx", b.dx, backward.dx, c, table.name);
      if (c.wants_da) expect_close("da", b.da, backward.da, c, table.name);
      if (c.wants_dh0) expect_close("dh0", b.dh0, backward.dh0, c, table.name);
    }
  }

 private:
  std::vector<KernelTable> tables_;
  TestPool pools_[3] = {TestPool(1), TestPool(2), TestPool(4)};
};

void random_problems(Checker& checker, uint64_t seed, int count, int64_t max_elements) {
  Random random(seed);
  for (int i = 0; i < count; ++i) checker.check(random_case(random, max_elements), random);
}

// Each number of lanes and of steps around the vectors, the unrolled loops and the tiles, for every dtype, in both
// layouts.
void lanes_and_steps(Checker& checker) {
  Random random(3);
  for (int dtype = 0; dtype < kNumDTypes; ++dtype) {
    for (int64_t lanes : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 20, 23, 31, 32, 33, 35, 63, 64, 65}) {
      for (int64_t steps : {1, 2, 3, 4, 5, 7, 64, 65}) {
        const bool time_last = random.chance(0.5), constant_a = random.chance(0.5);
        ScanCase c;
        c.dtype = DType(dtype);
        c.shape = time_last ? Dims{lanes, steps} : Dims{steps, lanes};
        c.axis = time_last;
        c.reverse = random.chance(0.5);
        c.a = constant_a ? with_size(c.shape, c.axis, 1) : c.shape;
        c.x = c.shape;
        c.h0 = c.state();
        c.has_ct_final = c.wants_dh0 = true;
        checker.check(c, random);
      }
    }
  }
}

// Each operand broadcast over every subset of (batch, time, lane), over contiguous lanes and gathered ones.
void broadcast_patterns(Checker& checker) {
  Random random(4);
  const auto masked = [](Dims dims, int mask) {
    for (int d = 0; d < 3; ++d) {
      if (mask >> d & 1) dims[size_t(d)] = 1;
    }
    return dims;
  };
  for (int64_t axis = 0; axis < 3; ++axis) {
    for (int a = 0; a < 8; ++a) {
      for (int other = 0; other < 8; ++other) {
        ScanCase c;
        c.dtype = DType((a + other + axis) % kNumDTypes);
        c.shape = {5, 6, 34};
        c.axis = axis;
        c.reverse = random.chance(0.5);
        c.a = masked(c.shape, a);
        c.x = masked(c.shape, random.chance(0.5) ? 0 : other);
        c.reset = masked(c.shape, other);
        if (random.chance(0.5)) c.reset.clear();
        c.h0 = masked(c.state(), other);
        c.wants_dh0 = true;
        checker.check(c, random);
      }
    }
  }
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  Checker checker;
  test("1,000 small random problems", [&] { random_problems(checker, 1, 1000, 4000); });
  test("100 large random problems", [&] { random_problems(checker, 2, 100, 60000); });
  test("lanes and steps", [&] { lanes_and_steps(checker); });
  test("broadcast patterns", [&] { broadcast_patterns(checker); });
  return exit_status();
}
