// The spectral operations with a projection against those without and plain loops: every instruction set, stores past
// the caches, the same bits on any number of threads.
#include <cmath>
#include <complex>
#include <string>
#include <vector>

#include "check.h"
#include "kernel_tables.h"
#include "spectral_case.h"
#include "spectral_tables.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

std::vector<TableOf<DenseKernels>> dense_tables() { return CSSM_MACHINE_TABLES(dense_kernels); }

struct Results {
  Array y, final_state, dx, dk, dw, dbias, dh0;
  std::vector<const Array*> all() const { return {&y, &final_state, &dx, &dk, &dw, &dbias, &dh0}; }
};

struct Case {
  SpectralCase c;
  int64_t width;
  bool minus_x, has_bias, filters;
  SpectralInputs in;
  Array w, bias, ct;

  Case(SpectralCase of, int64_t n, bool minus, bool with_bias, bool filter)
      : c(std::move(of)), width(n), minus_x(minus), has_bias(with_bias), filters(filter) {
    Random random(3);
    in = random_inputs(c, random);
    w = random_exact(c.dtype, {c.channels, width}, random);
    bias = random_exact(c.dtype, {width}, random);
    ct = random_exact(c.dtype, frames(width), random);
  }

  Dims frames(int64_t channels) const {
    Dims dims = c.frames(c.batch);
    dims.back() = channels;
    return dims;
  }
  int64_t pixels() const { return ct.size() / width; }

  Results run(const SpectralKernels& kernels, const DenseKernels& dense, ThreadPool& pool) const {
    const DType spectrum = spectrum_dtype(c.dtype);
    const SpectralProjection projection{width, minus_x, w.bytes(), has_bias ? bias.bytes() : nullptr, dense};
    SpectralProblem p = spectral_problem(c, in);
    p.projection = &projection;
    p.filters = filters;
    Results r;
    const Array checkpoints = poisoned(spectrum, c.spectra(c.batch, filters ? 0 : c.checkpoints()));
    r.y = poisoned(c.dtype, frames(width));
    if (!filters) r.final_state = poisoned(spectrum, c.spectrum(c.batch));
    char* const kept = filters ? nullptr : checkpoints.bytes();
    spectral_scan_forward(p, {false, r.y.bytes(), r.final_state.bytes(), kept}, kernels, pool);
    r.dx = poisoned(c.dtype, c.frames(c.batch));
    r.dk = poisoned(spectrum, c.spectrum(c.k));
    r.dw = poisoned(c.dtype, w.dims());
    if (has_bias) r.dbias = poisoned(c.dtype, bias.dims());
    if (c.has_h0) r.dh0 = poisoned(spectrum, c.spectrum(c.batch));
    spectral_scan_backward(p,
                           {false, kept, ct.bytes(), in.ct_final.bytes(), r.dx.bytes(), r.dk.bytes(), r.dh0.bytes(),
                            r.dw.bytes(), r.dbias.bytes()},
                           kernels, pool);
    return r;
  }
};

double number(const Array& a, int64_t i) { return a[i].real(); }

// Within a share of the largest of what is expected.
void compare(const Array& got, const Array& want, const std::string& what) {
  double largest = 1, error = 0;
  for (int64_t i = 0; i < want.size(); ++i) largest = std::max(largest, std::abs(want[i]));
  for (int64_t i = 0; i < want.size(); ++i) {
    const double off = std::abs(got[i] - want[i]);
    error = std::isnan(off) ? INFINITY : std::max(error, off);
  }
  if (!(error <= 2000 * epsilon(want.dtype()) * largest)) fail(what + " is off by " + std::to_string(error));
}

// y = s w + bias - x of the frames that the operation without a projection makes, ds for its backward pass, and dw.
void check_scan(const Case& of, const SpectralTable& table, const DenseKernels& dense, ThreadPool& pool) {
  const SpectralCase& c = of.c;
  const Results got = of.run(table.kernels, dense, pool);
  const SpectralForwardResult plain = run_forward(c, of.in, table.kernels, pool);
  Array y(c.dtype, of.ct.dims()), dw(c.dtype, of.w.dims()), dbias(c.dtype, of.bias.dims());
  SpectralInputs back;
  back.ct = Array(c.dtype, c.frames(c.batch));
  std::vector<double> sums(size_t(of.w.size())), totals(size_t(of.width));
  for (int64_t p = 0; p < of.pixels(); ++p) {
    const int64_t s = p * c.channels, o = p * of.width;
    for (int64_t n = 0; n < of.width; ++n) {
      double sum = (of.has_bias ? number(of.bias, n) : 0) - (of.minus_x ? number(of.in.x, s + n) : 0);
      for (int64_t k = 0; k < c.channels; ++k) {
        sum += number(plain.y, s + k) * number(of.w, k * of.width + n);
        sums[size_t(k * of.width + n)] += number(plain.y, s + k) * number(of.ct, o + n);
      }
      y.set(o + n, sum);
      totals[size_t(n)] += number(of.ct, o + n);
    }
    for (int64_t k = 0; k < c.channels; ++k) {
      double sum = 0;
      for (int64_t n = 0; n < of.width; ++n) sum += number(of.ct, o + n) * number(of.w, k * of.width + n);
      back.ct.set(s + k, sum);
    }
  }
  for (int64_t i = 0; i < dw.size(); ++i) dw.set(i, sums[size_t(i)]);
  for (int64_t i = 0; i < dbias.size(); ++i) dbias.set(i, totals[size_t(i)]);
  back.x = of.in.x.copy();
  back.k = of.in.k.copy();
  if (c.has_h0) back.h0 = of.in.h0.copy();
  if (c.has_ct_final) back.ct_final = of.in.ct_final.copy();
  if (c.has_reset) {
    const int64_t flags = product(c.reset) * c.steps;
    back.reset.reset(new uint8_t[size_t(flags)]);
    std::copy_n(of.in.reset.get(), flags, back.reset.get());
  }
  const SpectralBackwardResult d = run_backward(c, back, plain.checkpoints, table.kernels, pool);
  Array dx = d.dx.copy();
  for (int64_t i = 0; of.minus_x && i < dx.size(); ++i) dx.set(i, number(dx, i) - number(of.ct, i));
  const std::string where = table.name + " " + c.describe() + " to " + std::to_string(of.width) + ": ";
  compare(got.y, y, where + "y");
  compare(got.final_state, plain.final_state, where + "the final state");
  compare(got.dx, dx, where + "dx");
  compare(got.dk, d.dk, where + "dk");
  compare(got.dw, dw, where + "dw");
  if (of.has_bias) compare(got.dbias, dbias, where + "dbias");
  if (c.has_h0) compare(got.dh0, d.dh0, where + "dh0");
}

void check_bits(const Case& of, const SpectralTable& table, const DenseKernels& dense, TestPool (&pools)[3]) {
  const Results first = of.run(table.kernels, dense, pools[0]);
  for (TestPool& pool : pools) {
    const Results again = of.run(table.kernels, dense, pool);
    for (size_t i = 0; i < first.all().size(); ++i) {
      if (again.all()[i]->same_bits(*first.all()[i])) continue;
      fail(table.name + " " + of.c.describe() + ": result " + std::to_string(i) + " differs on " +
           std::to_string(pool.num_threads()) + " threads");
    }
  }
}

std::vector<Case> cases(DType dtype) {
  std::vector<Case> all;
  const auto add = [&](SpectralCase c, int64_t width, bool everything, bool filters) {
    c.dtype = dtype;
    c.spacing = 3;
    c.reverse = everything;
    if (everything) c.has_h0 = c.has_reset = c.has_ct_final = c.wants_dh0 = true;
    all.emplace_back(c, width, width == c.channels, !everything, filters);
  };
  for (const bool filters : {false, true}) {
    add(spectral_case({2}, 7, 5, 6, 5), 5, false, filters);
    add(spectral_case({3}, 4, 6, 4, 33), 7, false, filters);
    add(spectral_case({1}, 3, 8, 8, 32), 32, false, filters);
    add(spectral_case({}, 34, 32, 32, 20), 20, false, filters);  // all threads on one group
  }
  add(spectral_case({2}, 7, 5, 6, 5), 5, true, false);
  add(spectral_case({70}, 2, 3, 4, 17), 17, true, false);  // more sequences than parts of the sums
  return all;
}

template <class Check>
void for_all(const Check& check) {
  const auto dense = dense_tables();
  const auto tables = all_spectral_tables();
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const Case& of : cases(dtype)) {
      for (size_t i = 0; i < tables.size(); ++i) check(of, tables[i], dense[std::min(i, dense.size() - 1)].kernels);
    }
  }
}

void as_without_a_projection() {
  TestPool pool(2);
  for_all([&](const Case& of, const SpectralTable& table, const DenseKernels& dense) {
    if (!of.filters) check_scan(of, table, dense, pool);
  });
}

void same_bits_on_any_number_of_threads() {
  TestPool pools[] = {TestPool(1), TestPool(2), TestPool(5)};
  for_all([&](const Case& of, const SpectralTable& table, const DenseKernels& dense) {
    check_bits(of, table, dense, pools);
  });
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  test("what the operation without a projection gives, projected", as_without_a_projection);
  test("the same bits on any number of threads", same_bits_on_any_number_of_threads);
  return exit_status();
}
