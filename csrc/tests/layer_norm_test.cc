// The layer norm and its gradients against their formulas in double: channels around whole vectors, rows around the
// four worked on at once, every activation, dtype and instruction set; the same bits on any number of threads.
#include "cpu/layer_norm.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "kernel_tables.h"
#include "spectral_case.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

using Table = TableOf<NormKernels>;

std::vector<Table> tables() { return CSSM_MACHINE_TABLES(norm_kernels); }

struct Act {
  double value, slope;
};

Act act(Activation activation, double x) {
  switch (activation) {
    case Activation::kGelu: {
      const double k = std::sqrt(2 / std::acos(-1.0)), inner = std::tanh(k * (x + 0.044715 * x * x * x));
      return {0.5 * x * (1 + inner),
              0.5 * (1 + inner) + 0.5 * x * (1 - inner * inner) * k * (1 + 3 * 0.044715 * x * x)};
    }
    case Activation::kSoftplus: return {std::log1p(std::exp(x)), 1 / (1 + std::exp(-x))};
    case Activation::kRelu: return {std::max(x, 0.0), x > 0 ? 1.0 : 0.0};
    default: return {x, 1};
  }
}

// Operands are multiples of 1/128, so that every dtype holds them exactly.
struct Case {
  NormProblem p;
  Array x, scale, bias, ct;
  std::vector<double> y, dx, dscale, dbias;

  Case(const NormProblem& problem, Random& random) : p(problem) {
    const DType wide = state_dtype(p.dtype);
    const Dims rows{p.rows, p.channels}, channels{p.channels};
    x = random_exact(p.dtype, rows, random);
    ct = random_exact(p.dtype, rows, random);
    scale = random_exact(wide, channels, random);
    bias = random_exact(wide, channels, random);
    dscale.assign(size_t(p.channels), 0);
    dbias.assign(size_t(p.channels), 0);
    for (int64_t row = 0; row < p.rows; ++row) add_row(row * p.channels);
  }

  void add_row(int64_t at) {
    const int64_t n = p.channels;
    std::vector<Act> z;
    double mean = 0, variance = 0, mean_g = 0, mean_product = 0;
    for (int64_t c = 0; c < n; ++c) z.push_back(act(p.activation, x[at + c].real()));
    for (const Act& a : z) mean += a.value / double(n);
    for (const Act& a : z) variance += (a.value - mean) * (a.value - mean) / double(n);
    const double factor = 1 / std::sqrt(variance + p.eps);
    const auto normal = [&](int64_t c) { return (z[size_t(c)].value - mean) * factor; };
    for (int64_t c = 0; c < n; ++c) {
      const double g = ct[at + c].real(), gs = g * scale[c].real();
      y.push_back(normal(c) * scale[c].real() + bias[c].real());
      dscale[size_t(c)] += g * normal(c);
      dbias[size_t(c)] += g;
      mean_g += gs / double(n);
      mean_product += gs * normal(c) / double(n);
    }
    for (int64_t c = 0; c < n; ++c) {
      const double gs = ct[at + c].real() * scale[c].real();
      dx.push_back(factor * (gs - mean_g - normal(c) * mean_product) * z[size_t(c)].slope);
    }
  }
};

// eps is large enough that a few dozen roundings of the largest value are enough.
void expect_near(const char* what, const Array& actual, const std::vector<double>& expected, const std::string& where) {
  const double wide = epsilon(state_dtype(actual.dtype())), stored = epsilon(actual.dtype());
  double largest = 1;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  for (int64_t i = 0; i < actual.size(); ++i) {
    const double value = expected[size_t(i)];
    if (!(std::abs(actual[i].real() - value) <= 60 * wide * largest + 2 * stored * std::abs(value))) {
      return fail(where + ": " + what + "[" + std::to_string(i) + "] is " + std::to_string(actual[i].real()) +
                  ", expected " + std::to_string(value));
    }
  }
}

struct Outputs {
  Array y, dx, dscale, dbias;
};

Outputs run(const Case& c, const NormKernels& kernels, ThreadPool& pool) {
  const DType wide = state_dtype(c.p.dtype);
  Outputs out{poisoned(c.p.dtype, c.x.dims()), poisoned(c.p.dtype, c.x.dims()), poisoned(wide, c.scale.dims()),
              poisoned(wide, c.bias.dims())};
  layer_norm_forward(c.p, c.x.bytes(), c.scale.bytes(), c.bias.bytes(), out.y.bytes(), kernels, pool);
  layer_norm_backward(c.p, c.x.bytes(), c.scale.bytes(), c.ct.bytes(), out.dx.bytes(), out.dscale.bytes(),
                      out.dbias.bytes(), kernels, pool);
  return out;
}

void check(const Case& c, const Table& table, ThreadPool& pool) {
  const std::string where = table.name + " " + dtype_name(c.p.dtype) + " activation " +
                            std::to_string(int(c.p.activation)) + " x" + to_string(c.x.dims());
  const Outputs out = run(c, table.kernels, pool);
  expect_near("y", out.y, c.y, where);
  expect_near("dx", out.dx, c.dx, where);
  expect_near("dscale", out.dscale, c.dscale, where);
  expect_near("dbias", out.dbias, c.dbias, where);
  Array dscale = poisoned(out.dscale.dtype(), out.dscale.dims());
  layer_norm_backward(c.p, c.x.bytes(), c.scale.bytes(), c.ct.bytes(), nullptr, dscale.bytes(), nullptr, table.kernels,
                      pool);
  expect(dscale.same_bits(out.dscale), "the scale's gradient depends on what else is wanted");
}

constexpr Activation kAll[] = {Activation::kNone, Activation::kGelu, Activation::kSoftplus, Activation::kRelu};

void rows_and_channels() {
  Random random(1);
  TestPool pool(2);
  for (const Activation activation : kAll) {
    for (const int64_t channels : {1, 2, 7, 8, 15, 16, 17, 33, 64}) {
      for (const int64_t rows : {1, 3, 4, 7, 131}) {
        const Case c({DType::kF32, rows, channels, 0.1, activation}, random);
        for (const Table& table : tables()) check(c, table, pool);
      }
    }
  }
}

void dtypes() {
  Random random(2);
  TestPool pool(2);
  for (const DType dtype : {DType::kF64, DType::kBF16, DType::kF16}) {
    for (const Activation activation : kAll) {
      for (const int64_t channels : {3, 8, 21}) {
        const Case c({dtype, 9, channels, 0.1, activation}, random);
        for (const Table& table : tables()) check(c, table, pool);
      }
    }
  }
}

// Enough rows to be cut into many tasks; of numbers whose sums, in double, depend on their order.
void same_bits_on_any_number_of_threads() {
  Random random(3);
  TestPool few(1), many(5);
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    Case c({dtype, 9'001, 32, 0.1, Activation::kGelu}, random);
    for (Array* array : {&c.x, &c.ct}) {
      for (int64_t i = 0; i < array->size(); ++i) array->set(i, random.uniform(-1, 1));
    }
    for (const Table& table : tables()) {
      const Outputs one = run(c, table.kernels, few), other = run(c, table.kernels, many);
      expect(one.y.same_bits(other.y), "y depends on the threads");
      expect(one.dx.same_bits(other.dx), "dx depends on the threads");
      expect(one.dscale.same_bits(other.dscale), "dscale depends on the threads");
      expect(one.dbias.same_bits(other.dbias), "dbias depends on the threads");
    }
  }
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  test("rows and channels", rows_and_channels);
  test("dtypes", dtypes);
  test("the same bits on any number of threads", same_bits_on_any_number_of_threads);
  return exit_status();
}
