// The driver stores past the caches where outputs outgrow the last level, only there, and correctly.
#include <cstdio>
#include <cstring>

#include "check.h"
#include "common/memory.h"
#include "kernel_tables.h"
#include "scan_case.h"
#include "scan_reference.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

// (batch, time, lanes) of which only the output is large: operands are shared by the batch.
ScanCase shared_operands(int64_t batch) {
  ScanCase c;
  c.dtype = DType::kF32;
  c.shape = {batch, 8, 4096 + 24};
  c.axis = 1;
  c.a = c.x = {1, 8, 4096 + 24};
  return c;
}

void small_outputs_stay_in_cache(TestPool& pool) {
  Random random(1);
  const KernelTable table = counting_table();
  const ScanCase c = shared_operands(2);
  const ScanInputs in = random_inputs(c, random);
  run_forward(c, in, table.kernels, pool);
  run_backward(c, in, table.kernels, pool);
  expect(plain_calls > 0 && streaming_calls == 0, "a small problem used streaming stores");
}

void large_outputs_are_streamed(TestPool& pool) {
  constexpr int64_t kMaxBytes = int64_t{256} << 20;
  const ScanCase one = shared_operands(1);
  const int64_t batch_bytes = product(one.shape) * 4, batch = last_level_cache_bytes() / 2 / batch_bytes + 2;
  if (batch * batch_bytes > kMaxBytes) {
    std::printf("not tested: the last-level cache has %lld MiB\n", (long long)last_level_cache_bytes() >> 20);
    return;
  }
  Random random(2);
  const ScanInputs in = random_inputs(one, random);
  const ForwardReference want = forward_reference(one, in);
  const KernelTable table = counting_table();
  plain_calls = 0;
  const ForwardResult got = run_forward(shared_operands(batch), in, table.kernels, pool);
  expect(plain_calls == 0 && streaming_calls > 0, "a large problem did not use streaming stores");
  Array first(one.dtype, one.shape);
  std::memcpy(first.bytes(), got.h.bytes(), size_t(batch_bytes));
  expect_close("h[0]", first, want.h, one, table.name);
  for (int64_t b = 1; b < batch; ++b) {
    if (std::memcmp(got.h.bytes() + b * batch_bytes, first.bytes(), size_t(batch_bytes)) == 0) continue;
    return fail("h[" + std::to_string(b) + "] differs from h[0], computed from the same operands");
  }
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  TestPool pool(2);
  test("small outputs stay in cache", [&] { small_outputs_stay_in_cache(pool); });
  test("large outputs are streamed", [&] { large_outputs_are_streamed(pool); });
  return exit_status();
}
