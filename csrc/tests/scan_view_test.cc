// ScanView: which dimensions merge, and that every lane of every operand is where broadcasting says.
#include "common/scan_view.h"

#include <string>

#include "check.h"
#include "scan_case.h"

namespace cssm::testing {
namespace {

ScanView view_of(const ScanCase& c) {
  const Dims ones(c.shape.size(), 1);
  return make_scan_view(c.shape, c.axis, c.a, c.x, c.reset.empty() ? ones : c.reset, c.h0.empty() ? ones : c.h0);
}

ScanView view_of(const Dims& shape, int64_t axis, const Dims& a) {
  const Dims ones(shape.size(), 1);
  return make_scan_view(shape, axis, a, shape, ones, ones);
}

void expect_sizes(const char* what, const ScanView& view, const Dims& sizes) {
  Dims got;
  for (const Dim& dim : view.dims) got.push_back(dim.size);
  if (got != sizes) fail(std::string(what) + ": dims are " + to_string(got) + "; expected " + to_string(sizes));
}

void merging() {
  expect_sizes("neighbours of one kind merge", view_of({4, 5, 6, 7}, 1, {4, 5, 6, 7}), {4, 42});
  expect_sizes("all broadcast merges", view_of({4, 5, 6, 7}, 0, {4, 1, 1, 1}), {210});
  expect_sizes("full and broadcast do not", view_of({4, 5, 6, 7}, 0, {4, 5, 1, 7}), {5, 6, 7});
  expect_sizes("dimensions of size 1 vanish", view_of({4, 1, 6, 1}, 0, {4, 1, 1, 1}), {6});
  expect_sizes("time between dimensions keeps them apart", view_of({3, 5, 7}, 1, {3, 5, 7}), {3, 7});
  expect_sizes("time of size 1 does not", view_of({3, 1, 7}, 1, {3, 1, 7}), {21});
  expect_sizes("time alone leaves one lane", view_of({5}, 0, {1}), {});
}

// Compares offsets with a plain odometer over the dimensions other than time.
void check_offsets(const ScanCase& c) {
  const ScanView view = view_of(c);
  const Dims ones(c.shape.size(), 1), lanes = c.state();
  const Dims operands[kNumOperands] = {c.a,  c.x, c.shape, c.reset.empty() ? ones : c.reset, c.h0.empty() ? ones : c.h0,
                                       lanes};
  bool ok = view.steps == c.shape[c.axis] && view.lanes() == product(lanes);
  Dims index(c.shape.size(), 0);
  int64_t lane = 0;
  do {
    const Offsets at = offsets_of(view.dims, lane++);
    for (int k = 0; k < kNumOperands; ++k) ok &= at.at[k] == position(operands[k], index);
  } while (advance(index, lanes));
  for (int k = 0; k < kNumOperands; ++k) {
    Dims second(c.shape.size(), 0);
    second[c.axis] = 1;
    ok &= view.time_stride[k] == (operands[k][c.axis] == 1 ? 0 : position(operands[k], second));
  }
  for (size_t d = 0; d < view.dims.size(); ++d) ok &= view.dims[d].size > 1;
  if (!ok) fail("wrong offsets or strides for " + c.describe());
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  test("merging", merging);
  test("offsets of 1,000 random views", [] {
    Random random(1);
    for (int i = 0; i < 1000; ++i) check_offsets(random_case(random, 2000));
  });
  return exit_status();
}
