// The depthwise convolution and its correlation against their definitions: windows smaller and larger than the frame,
// channels around whole vectors, batches of kernels, every instruction set and dtype; the same bits on any number of
// threads.
#include "cpu/depthwise_conv.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "kernel_tables.h"
#include "spectral_case.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

using Table = TableOf<DepthwiseKernels>;

std::vector<Table> tables() { return CSSM_MACHINE_TABLES(depthwise_kernels); }

Dims joined(Dims batch, const Frame& frame, int64_t channels) {
  batch.insert(batch.end(), frame.begin(), frame.end());
  batch.push_back(channels);
  return batch;
}

template <class Body>
void for_each_index(const Dims& shape, const Body& body) {
  if (product(shape) == 0) return;
  Dims index(shape.size(), 0);
  do body(index);
  while (advance(index, shape));
}

std::string describe(const DepthwiseProblem& p) {
  return std::string(dtype_name(p.dtype)) + " x" + to_string(joined(p.x_batch, p.in, p.channels)) + " out" +
         to_string(joined(p.out_batch, p.out, p.channels)) + " kernel" +
         to_string(joined(p.kernel_batch, p.window, p.channels));
}

// Operands are multiples of 1/128, so that every dtype holds them exactly. Values and sums of magnitudes.
struct Case {
  DepthwiseProblem p;
  Array x, kernel, bias, g;
  std::vector<double> y, dkernel, dbias, y_size, dkernel_size;

  Case(const DepthwiseProblem& problem, Random& random) : p(problem) {
    const DType wide = state_dtype(p.dtype);
    x = random_exact(p.dtype, joined(p.x_batch, p.in, p.channels), random);
    g = random_exact(p.dtype, joined(p.out_batch, p.out, p.channels), random);
    kernel = random_exact(wide, joined(p.kernel_batch, p.window, p.channels), random);
    bias = random_exact(wide, joined(p.bias_batch, {1, 1, 1}, p.channels), random);
    y.resize(size_t(g.size()));
    y_size.resize(y.size());
    dkernel.resize(size_t(kernel.size()));
    dkernel_size.resize(dkernel.size());
    dbias.resize(size_t(product(p.kernel_batch) * p.channels));
    for_each_index(g.dims(), [&](const Dims& at) { add(at); });
  }

  void add(const Dims& at) {
    const size_t lead = p.out_batch.size(), out = size_t(position(g.dims(), at));
    Dims in = at, tap = at, none = at;
    std::fill(none.begin() + int64_t(lead), none.end() - 1, 0);
    Dims of_dbias = joined(p.kernel_batch, {1, 1, 1}, p.channels);
    y[out] = bias[position(bias.dims(), none)].real();
    y_size[out] = std::abs(y[out]);
    dbias[size_t(position(of_dbias, none))] += g[int64_t(out)].real();
    for_each_index(Dims(p.window.begin(), p.window.end()), [&](const Dims& i) {
      for (size_t d = 0; d < 3; ++d) {
        in[lead + d] = at[lead + d] + i[d] - p.offset[d];
        tap[lead + d] = i[d];
        if (in[lead + d] < 0 || in[lead + d] >= p.in[d]) return;
      }
      const double value = x[position(x.dims(), in)].real();
      const int64_t k = position(kernel.dims(), tap);
      y[out] += kernel[k].real() * value;
      y_size[out] += std::abs(kernel[k].real() * value);
      dkernel[size_t(k)] += value * g[int64_t(out)].real();
      dkernel_size[size_t(k)] += std::abs(value * g[int64_t(out)].real());
    });
  }
};

// Rounding of sums of `terms` numbers computed with in `wide`, and of the result.
void expect_near(const char* what, const Array& actual, const std::vector<double>& expected,
                 const std::vector<double>& size, double terms, const std::string& where) {
  const double wide = epsilon(state_dtype(actual.dtype())), stored = epsilon(actual.dtype());
  for (int64_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual[i].real() - expected[size_t(i)]);
    const double bound = terms * wide * size[size_t(i)] + 2 * stored * std::abs(expected[size_t(i)]);
    if (!(error <= bound)) {
      return fail(where + ": " + what + "[" + std::to_string(i) + "] is " + std::to_string(actual[i].real()) +
                  ", expected " + std::to_string(expected[size_t(i)]));
    }
  }
}

struct Outputs {
  Array y, unbiased, dkernel, dbias, dkernel_alone;
};

Outputs run(const Case& c, const DepthwiseKernels& kernels, ThreadPool& pool) {
  const DType wide = state_dtype(c.p.dtype);
  Outputs out{poisoned(c.p.dtype, c.g.dims()), poisoned(c.p.dtype, c.g.dims()), poisoned(wide, c.kernel.dims()),
              poisoned(wide, joined(c.p.kernel_batch, {1, 1, 1}, c.p.channels)), poisoned(wide, c.kernel.dims())};
  depthwise_convolve(c.p, c.x.bytes(), c.kernel.bytes(), c.bias.bytes(), out.y.bytes(), kernels, pool);
  depthwise_convolve(c.p, c.x.bytes(), c.kernel.bytes(), nullptr, out.unbiased.bytes(), kernels, pool);
  depthwise_correlate(c.p, c.x.bytes(), c.g.bytes(), out.dkernel.bytes(), out.dbias.bytes(), kernels, pool);
  depthwise_correlate(c.p, c.x.bytes(), c.g.bytes(), out.dkernel_alone.bytes(), nullptr, kernels, pool);
  return out;
}

void check(const Case& c, const Table& table, ThreadPool& pool) {
  const DepthwiseProblem& p = c.p;
  const std::string where = table.name + " " + describe(p);
  const Outputs out = run(c, table.kernels, pool);
  const double taps = double(p.window[0] * p.window[1] * p.window[2]);
  expect_near("y", out.y, c.y, c.y_size, taps + 1, where);
  std::vector<double> unbiased = c.y;
  for_each_index(c.g.dims(), [&](const Dims& at) {
    Dims none = at;
    std::fill(none.begin() + int64_t(p.out_batch.size()), none.end() - 1, 0);
    unbiased[size_t(position(c.g.dims(), at))] -= c.bias[position(c.bias.dims(), none)].real();
  });
  expect_near("y without bias", out.unbiased, unbiased, c.y_size, taps + 1, where);
  // At most 128 products in the type computed in, the rest in double.
  expect_near("dkernel", out.dkernel, c.dkernel, c.dkernel_size, 128, where);
  const std::vector<double> dbias_size(c.dbias.size(), double(c.g.size()));
  expect_near("dbias", out.dbias, c.dbias, dbias_size, 1, where);
  expect(out.dkernel.same_bits(out.dkernel_alone), "the kernel's gradient depends on whether the bias's is wanted");
}

DepthwiseProblem problem(DType dtype, const Frame& in, const Frame& window, int64_t channels, const Dims& batch = {2}) {
  DepthwiseProblem p{};
  p.dtype = dtype;
  p.channels = channels;
  p.in = p.out = in;
  p.window = window;
  p.offset = {window[0] - 1, (window[1] - 1) / 2, (window[2] - 1) / 2};
  p.x_batch = p.out_batch = batch;
  p.kernel_batch = p.bias_batch = Dims(batch.size(), 1);
  return p;
}

// Every window that the loops tell apart, on frames that are longer than a block of columns, shorter, and shorter than
// the window.
void windows() {
  Random random(1);
  TestPool pool(2);
  const Frame all[] = {{1, 1, 1}, {1, 1, 2}, {1, 3, 3}, {4, 1, 1}, {2, 2, 4}, {1, 1, 5}, {3, 5, 7}, {1, 11, 11}};
  const Frame frames[] = {{2, 5, 19}, {3, 4, 8}, {1, 2, 3}, {5, 1, 1}};
  for (const Frame& window : all) {
    for (const Frame& frame : frames) {
      const Case c(problem(DType::kF32, frame, window, 17), random);
      for (const Table& table : tables()) check(c, table, pool);
    }
  }
}

void dtypes_and_channels() {
  Random random(2);
  TestPool pool(2);
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kBF16, DType::kF16}) {
    for (const int64_t channels : {1, 2, 3, 4, 7, 8, 15, 16, 33}) {
      const Case c(problem(dtype, {2, 3, 11}, {2, 3, 3}, channels), random);
      for (const Table& table : tables()) check(c, table, pool);
    }
  }
}

// Outputs larger and smaller than x, offsets of any size, batches that broadcast; nothing to sum.
void batches_and_offsets() {
  Random random(3);
  TestPool pool(3);
  for (int i = 0; i < 60; ++i) {
    DepthwiseProblem p = problem(DType::kF64, {}, {}, 1 + random.below(10));
    for (int d = 0; d < 3; ++d) {
      p.in[d] = random.below(7);
      p.out[d] = random.below(7);
      p.window[d] = 1 + random.below(4);
      p.offset[d] = random.below(6) - 1;
    }
    const Dims full{random.below(3), 1 + random.below(2), 1 + random.below(3)};
    p.out_batch = full;
    for (Dims* own : {&p.x_batch, &p.kernel_batch, &p.bias_batch}) {
      *own = full;
      for (int64_t& size : *own) size = random.chance(0.5) ? 1 : size;
    }
    const Case c(p, random);
    for (const Table& table : tables()) check(c, table, pool);
  }
}

// Large enough to be cut into many tasks; of numbers whose sums, in double, depend on their order.
void same_bits_on_any_number_of_threads() {
  Random random(4);
  TestPool few(1), many(5);
  for (const Frame& window : {Frame{1, 3, 3}, Frame{4, 1, 1}}) {
    Case c(problem(DType::kF64, {4, 17, 32}, window, 17, {2}), random);
    const Table table = tables().front();
    check(c, table, many);
    for (Array* array : {&c.x, &c.g}) {
      for (int64_t i = 0; i < array->size(); ++i) array->set(i, random.uniform(-1, 1));
    }
    const Outputs one = run(c, table.kernels, few), other = run(c, table.kernels, many);
    expect(one.y.same_bits(other.y), "y depends on the threads");
    expect(one.dkernel.same_bits(other.dkernel), "dkernel depends on the threads");
    expect(one.dbias.same_bits(other.dbias), "dbias depends on the threads");
  }
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  test("windows", windows);
  test("dtypes and channels", dtypes_and_channels);
  test("batches and offsets", batches_and_offsets);
  test("the same bits on any number of threads", same_bits_on_any_number_of_threads);
  return exit_status();
}
