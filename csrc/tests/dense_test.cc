// dense and its gradients against their formulas in double: rows, depths and widths around whole tiles and vectors,
// both dtypes, every instruction set; the same bits on any number of threads or past the caches, and nothing written
// where nothing is wanted.
#include "cpu/dense.h"

#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "kernel_tables.h"
#include "spectral_case.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

using Table = TableOf<DenseKernels>;

std::vector<Table> tables() { return CSSM_MACHINE_TABLES(dense_kernels); }

// Operands are multiples of 1/128 within [-1, 1]: their products and the sums of few thousands of them are exact in
// double.
struct Case {
  DenseProblem p;
  Array x, w, bias, minus, ct;
  std::vector<double> y, dx, dw, dbias;

  Case(const DenseProblem& problem, Random& random) : p(problem) {
    x = random_exact(p.dtype, {p.rows, p.depth}, random);
    w = random_exact(p.dtype, {p.depth, p.width}, random);
    bias = random_exact(p.dtype, {p.width}, random);
    minus = random_exact(p.dtype, {p.rows, p.width}, random);
    ct = random_exact(p.dtype, {p.rows, p.width}, random);
    y.assign(size_t(p.rows * p.width), 0);
    dx.assign(size_t(p.rows * p.depth), 0);
    dw.assign(size_t(p.depth * p.width), 0);
    dbias.assign(size_t(p.width), 0);
    for (int64_t r = 0; r < p.rows; ++r) {
      for (int64_t n = 0; n < p.width; ++n) {
        const int64_t at = r * p.width + n;
        const double g = ct[at].real();
        y[size_t(at)] = bias[n].real() - minus[at].real();
        dbias[size_t(n)] += g;
        for (int64_t k = 0; k < p.depth; ++k) {
          const double in = x[r * p.depth + k].real(), factor = w[k * p.width + n].real();
          y[size_t(at)] += in * factor;
          dx[size_t(r * p.depth + k)] += g * factor;
          dw[size_t(k * p.width + n)] += g * in;
        }
      }
    }
  }
};

void expect_near(const char* what, const Array& actual, const std::vector<double>& expected, int64_t terms,
                 const std::string& where) {
  const double tolerance = epsilon(actual.dtype()) * double(terms + 2);
  for (int64_t i = 0; i < actual.size(); ++i) {
    if (!(std::abs(actual[i].real() - expected[size_t(i)]) <= tolerance)) {
      return fail(where + ": " + what + "[" + std::to_string(i) + "] is " + std::to_string(actual[i].real()) +
                  ", expected " + std::to_string(expected[size_t(i)]));
    }
  }
}

struct Outputs {
  Array y, dx, dw, dbias;
};

Outputs run(const Case& c, const DenseKernels& kernels, ThreadPool& pool) {
  const DType dtype = c.p.dtype;
  Outputs out{poisoned(dtype, c.ct.dims()), poisoned(dtype, c.x.dims()), poisoned(dtype, c.w.dims()),
              poisoned(dtype, c.bias.dims())};
  dense_forward(c.p, c.x.bytes(), c.w.bytes(), c.bias.bytes(), c.minus.bytes(), out.y.bytes(), kernels, pool);
  dense_backward(c.p, c.x.bytes(), c.w.bytes(), c.ct.bytes(), out.dx.bytes(), out.dw.bytes(), out.dbias.bytes(),
                 kernels, pool);
  return out;
}

void check(const Case& c, const Table& table, ThreadPool& pool) {
  const std::string where =
      table.name + " " + dtype_name(c.p.dtype) + " x" + to_string(c.x.dims()) + " w" + to_string(c.w.dims());
  const Outputs out = run(c, table.kernels, pool);
  expect_near("y", out.y, c.y, c.p.depth, where);
  expect_near("dx", out.dx, c.dx, c.p.width, where);
  expect_near("dw", out.dw, c.dw, c.p.rows, where);
  expect_near("dbias", out.dbias, c.dbias, c.p.rows, where);
  Array alone = poisoned(c.p.dtype, c.w.dims());
  dense_backward(c.p, c.x.bytes(), nullptr, c.ct.bytes(), nullptr, alone.bytes(), nullptr, table.kernels, pool);
  expect(alone.same_bits(out.dw), "the matrix's gradient depends on what else is wanted");
  alone = poisoned(c.p.dtype, c.x.dims());
  dense_backward(c.p, nullptr, c.w.bytes(), c.ct.bytes(), alone.bytes(), nullptr, nullptr, table.kernels, pool);
  expect(alone.same_bits(out.dx), "x's gradient depends on what else is wanted");
}

void shapes() {
  Random random(1);
  TestPool pool(2);
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const int64_t rows : {1, 4, 13, 31}) {
      for (const int64_t depth : {1, 3, 8, 12, 21}) {
        for (const int64_t width : {1, 7, 8, 16, 17, 32, 45}) {
          const Case c({dtype, rows, depth, width}, random);
          for (const Table& table : tables()) check(c, table, pool);
        }
      }
    }
  }
}

void many_rows_have_the_same_bits_on_any_number_of_threads() {
  Random random(2);
  const Case c({DType::kF32, 40'003, 5, 6}, random);
  for (const Table& table : tables()) {
    TestPool one(1), three(3);
    const Outputs a = run(c, table.kernels, one), b = run(c, table.kernels, three);
    expect(a.y.same_bits(b.y) && a.dx.same_bits(b.dx) && a.dw.same_bits(b.dw) && a.dbias.same_bits(b.dbias),
           "the number of threads changes the result");
    expect_near("dw", a.dw, c.dw, 300, table.name);  // sums of 256 rows in float, of these in double
  }
}

template <class Body>
void for_kernels(const Body& body) {
  for (const Table& table : tables()) {
    body(DType::kF32, table.kernels.f32);
    body(DType::kF64, table.kernels.f64);
  }
}

// Results of whole lines, of others, and off the start of a line.
void rows_asked_for_past_the_caches_have_the_same_bits() {
  Random random(3);
  for_kernels([&](DType dtype, const DenseKernelsOf& kernels) {
    for (const int64_t width : {8, 16, 32, 37, 48}) {
      for (const int64_t shift : {0, 1}) {
        const int64_t rows = 31, depth = 5;
        const Array x = random_exact(dtype, {rows, depth}, random), w = random_exact(dtype, {depth, width}, random);
        const Array minus = random_exact(dtype, {rows, width}, random);
        const Array packed(dtype, {kernels.packed_size(depth, width)});
        kernels.pack({depth, width, w.bytes(), width, 1, nullptr}, packed.bytes());
        Array y[2];
        for (const bool stream : {false, true}) {
          y[stream] = Array(dtype, {rows, width}, shift);
          kernels.rows({rows, depth, width, x.bytes(), packed.bytes(), minus.bytes(), y[stream].bytes(), stream});
        }
        expect(y[0].same_bits(y[1]), "rows stored past the caches differ");
      }
    }
  });
}

// Numbers of the operands are multiples of 1/128 within [-1, 1]: differences are exact.
void differences() {
  Random random(4);
  for_kernels([&](DType dtype, const DenseKernelsOf& kernels) {
    for (const int64_t n : {1, 3, 8, 16, 17, 64, 67}) {
      const Array a = random_exact(dtype, {n}, random), b = random_exact(dtype, {n}, random);
      for (const int64_t shift : {0, 1}) {
        for (const bool stream : {false, true}) {
          const Array to(dtype, {n}, shift);
          kernels.subtract(n, a.bytes(), b.bytes(), to.bytes(), stream);
          for (int64_t i = 0; i < n; ++i) expect(to[i] == a[i] - b[i], "a difference is off");
        }
      }
    }
  });
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  test("shapes", shapes);
  test("many rows have the same bits on any number of threads", many_rows_have_the_same_bits_on_any_number_of_threads);
  test("rows asked for past the caches have the same bits", rows_asked_for_past_the_caches_have_the_same_bits);
  test("differences", differences);
  return exit_status();
}
