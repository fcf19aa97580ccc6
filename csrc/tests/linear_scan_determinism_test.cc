// Results have the same bits on any number of threads and on every run, sums of da included.
#include <string>
#include <vector>

#include "check.h"
#include "kernel_tables.h"
#include "scan_case.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

class Checker {
 public:
  void check(const ScanCase& c, Random& random) {
    const ScanInputs in = random_inputs(c, random);
    const KernelTable& table = tables_[size_t(random.below(int64_t(tables_.size())))];
    const ForwardResult f = run_forward(c, in, table.kernels, pools_[0]);
    const BackwardResult b = run_backward(c, in, table.kernels, pools_[0]);
    for (TestPool& pool : pools_) {
      for (int run = 0; run < (pool.num_threads() == 8 ? 2 : 1); ++run) {
        const ForwardResult g = run_forward(c, in, table.kernels, pool);
        const BackwardResult d = run_backward(c, in, table.kernels, pool);
        const std::string where =
            table.name + " " + c.describe() + " on " + std::to_string(pool.num_threads()) + " threads: ";
        if (!g.h.same_bits(f.h) || !g.final_state.same_bits(f.final_state)) fail(where + "h differs from 1 thread's");
        if (!d.dx.same_bits(b.dx) || !d.dh0.same_bits(b.dh0)) fail(where + "dx or dh0 differs from 1 thread's");
        if (!d.da.same_bits(b.da)) fail(where + "da differs from 1 thread's");
      }
    }
  }

 private:
  std::vector<KernelTable> tables_ = machine_tables();
  TestPool pools_[4] = {TestPool(1), TestPool(2), TestPool(3), TestPool(8)};
};

// a constant in time, or shared by the batch, or by the lanes, or by all: each way in which da is summed.
void summed_gradients(Checker& checker) {
  Random random(1);
  for (DType dtype : {DType::kF32, DType::kF64, DType::kC128, DType::kF16}) {
    for (int64_t lanes : {24, 100, 256, 1100}) {
      for (int mask = 1; mask < 8; ++mask) {
        ScanCase c;
        c.dtype = dtype;
        c.shape = random.chance(0.5) ? Dims{8, 16, lanes} : Dims{24, 5, lanes};
        c.axis = 1;
        c.x = c.a = c.shape;
        for (int d = 0; d < 3; ++d) {
          if (mask >> d & 1) c.a[size_t(d)] = 1;
        }
        checker.check(c, random);
      }
    }
  }
}

void gathered_lanes(Checker& checker) {
  Random random(2);
  for (DType dtype : {DType::kF32, DType::kF64, DType::kC64, DType::kBF16}) {
    for (int mask = 0; mask < 8; ++mask) {
      ScanCase c;
      c.dtype = dtype;
      c.shape = {33, 20, 70};
      c.axis = 2;
      c.x = c.a = c.shape;
      for (int d = 0; d < 3; ++d) {
        if (mask >> d & 1) c.a[size_t(d)] = 1;
      }
      checker.check(c, random);
    }
  }
}

void random_problems(Checker& checker) {
  Random random(3);
  for (int i = 0; i < 60; ++i) checker.check(random_case(random, 40000), random);
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  Checker checker;
  test("summed gradients", [&] { summed_gradients(checker); });
  test("gathered lanes", [&] { gathered_lanes(checker); });
  test("random problems", [&] { random_problems(checker); });
  return exit_status();
}
