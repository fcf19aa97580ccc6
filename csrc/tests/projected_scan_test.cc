// The spectral operations with a projection against those without and plain loops: every instruction set, stores past
// the caches, the same bits on any number of threads.
#include <cmath>
#include <complex>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "cpu/spectral_frames.h"
#include "kernel_tables.h"
#include "spectral_case.h"
#include "spectral_tables.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

std::vector<TableOf<DenseKernels>> dense_tables() { return CSSM_MACHINE_TABLES(dense_kernels); }

const DenseKernels& best_dense() {
  static const DenseKernels& kernels = dense_tables().front().kernels;
  return kernels;
}

// The best set's, with all stores asked for past the caches; to go with `streaming_spectral_table`.
template <DenseKernelsOf DenseKernels::* kOf>
DenseKernelsOf streaming() {
  DenseKernelsOf kernels = best_dense().*kOf;
  kernels.rows = [](const DenseRows& b) {
    DenseRows asked = b;
    asked.stream = true;
    (best_dense().*kOf).rows(asked);
    spectral_tables().front().kernels.f32.fence();  // the driver, which did not ask, will not
  };
  kernels.subtract = [](int64_t numbers, const void* a, const void* b, void* to, bool) {
    (best_dense().*kOf).subtract(numbers, a, b, to, true);
    spectral_tables().front().kernels.f32.fence();
  };
  return kernels;
}

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
    in = inputs();
    w = random_exact(c.dtype, {c.channels, width}, random);
    bias = random_exact(c.dtype, {width}, random);
    ct = random_exact(c.dtype, frames(width), random);
  }

  SpectralInputs inputs() const {
    Random random(4);
    return random_inputs(c, random);
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

std::vector<double> numbers(const Array& a) {
  std::vector<double> out(size_t(a.size()));
  for (size_t i = 0; i < out.size(); ++i) out[i] = a[int64_t(i)].real();
  return out;
}
Array stored(DType dtype, const Dims& dims, const std::vector<double>& values) {
  Array out(dtype, dims);
  for (size_t i = 0; i < values.size(); ++i) out.set(int64_t(i), values[i]);
  return out;
}

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

// y = s w + bias - x and its gradients, by plain loops.
struct Projected {
  Array y, ds, dw, dbias;
};
Projected project(const Case& of, const Array& frames) {
  const SpectralCase& c = of.c;
  const size_t channels = size_t(c.channels), width = size_t(of.width), pixels = size_t(of.pixels());
  const std::vector<double> s = numbers(frames), w = numbers(of.w), ct = numbers(of.ct), x = numbers(of.in.x);
  const std::vector<int64_t> x_at = batch_positions(c.batch, c.x);
  const size_t in_sequence = size_t(c.steps * c.height * c.width);
  std::vector<double> y(pixels * width), ds(pixels * channels), dw(channels * width), dbias(width);
  for (size_t p = 0; p < pixels; ++p) {
    const size_t x_pixel = size_t(x_at[p / in_sequence]) * in_sequence + p % in_sequence;
    for (size_t n = 0; n < width; ++n) {
      const double g = ct[p * width + n];
      double sum = of.has_bias ? of.bias[int64_t(n)].real() : 0;
      if (of.minus_x) sum -= x[x_pixel * channels + n];
      for (size_t k = 0; k < channels; ++k) {
        sum += s[p * channels + k] * w[k * width + n];
        dw[k * width + n] += s[p * channels + k] * g;
        ds[p * channels + k] += g * w[k * width + n];
      }
      y[p * width + n] = sum;
      dbias[n] += g;
    }
  }
  return {stored(c.dtype, of.ct.dims(), y), stored(c.dtype, c.frames(c.batch), ds), stored(c.dtype, of.w.dims(), dw),
          stored(c.dtype, of.bias.dims(), dbias)};
}

void check(const Case& of, const Results& got, const Projected& want, const SpectralBackwardResult& back,
           const std::string& where) {
  Array dx = back.dx.copy();
  for (int64_t i = 0; of.minus_x && i < dx.size(); ++i) dx.set(i, dx[i] - of.ct[i]);
  compare(got.y, want.y, where + "y");
  compare(got.dx, dx, where + "dx");
  compare(got.dk, back.dk, where + "dk");
  compare(got.dw, want.dw, where + "dw");
  if (of.has_bias) compare(got.dbias, want.dbias, where + "dbias");
  if (of.c.has_h0) compare(got.dh0, back.dh0, where + "dh0");
}

std::string describe(const Case& of, const SpectralTable& table) {
  return table.name + (of.filters ? " filter " : " ") + of.c.describe() + " to " + std::to_string(of.width) + ": ";
}

void check_scan(const Case& of, const SpectralTable& table, const DenseKernels& dense, ThreadPool& pool) {
  const SpectralForwardResult plain = run_forward(of.c, of.in, table.kernels, pool);
  Projected want = project(of, plain.y);
  SpectralInputs back = of.inputs();
  back.ct = std::move(want.ds);
  const SpectralBackwardResult grads = run_backward(of.c, back, plain.checkpoints, table.kernels, pool);
  const Results got = of.run(table.kernels, dense, pool);
  check(of, got, want, grads, describe(of, table));
  compare(got.final_state, plain.final_state, describe(of, table) + "the final state");
}

// Frames into every second place from `first` on, zeros in the others; and out of there.
Array spread(const Array& from, const Dims& dims, int64_t first) {
  Array out = poisoned(from.dtype(), dims);
  std::memset(out.bytes(), 0, out.num_bytes());
  const size_t frame = size_t(dims.end()[-1] * dims.end()[-2] * dims.end()[-3]) * element_bytes(from.dtype());
  for (size_t i = 0; i < from.num_bytes() / frame; ++i) {
    std::memcpy(out.bytes() + (2 * i + size_t(first)) * frame, from.bytes() + i * frame, frame);
  }
  return out;
}
Array every_second(const Array& from, const Dims& dims, int64_t first) {
  Array out(from.dtype(), dims);
  const size_t frame = size_t(dims.end()[-1] * dims.end()[-2] * dims.end()[-3]) * element_bytes(from.dtype());
  for (size_t i = 0; i < out.num_bytes() / frame; ++i) {
    std::memcpy(out.bytes() + i * frame, from.bytes() + (2 * i + size_t(first)) * frame, frame);
  }
  return out;
}

// A filter's frame is the second state of a scan of x_t and nothing after it: k X.
void check_filter(const Case& of, const SpectralTable& table, const DenseKernels& dense, ThreadPool& pool) {
  const SpectralCase& c = of.c;
  SpectralCase pairs = c;
  pairs.steps = 2;
  for (Dims* dims : {&pairs.batch, &pairs.x, &pairs.h0, &pairs.reset}) dims->push_back(c.steps);
  pairs.k.push_back(1);
  SpectralInputs in;
  in.x = spread(of.in.x, pairs.frames(pairs.x), 0);
  in.k = of.in.k.copy();
  const SpectralForwardResult plain = run_forward(pairs, in, table.kernels, pool);
  Projected want = project(of, every_second(plain.y, c.frames(c.batch), 1));
  in.ct = spread(want.ds, pairs.frames(pairs.batch), 1);
  SpectralBackwardResult back = run_backward(pairs, in, plain.checkpoints, table.kernels, pool);
  back.dx = every_second(back.dx, c.frames(c.batch), 0);
  check(of, of.run(table.kernels, dense, pool), want, back, describe(of, table));
}

void check_bits(const Case& of, const SpectralTable& table, const DenseKernels& dense, TestPool (&pools)[3]) {
  const Results first = of.run(table.kernels, dense, pools[0]);
  for (TestPool& pool : {std::ref(pools[1]), std::ref(pools[2])}) {
    const Results again = of.run(table.kernels, dense, pool);
    for (size_t i = 0; i < first.all().size(); ++i) {
      if (again.all()[i]->same_bits(*first.all()[i])) continue;
      fail(describe(of, table) + "result " + std::to_string(i) + " differs on " + std::to_string(pool.num_threads()) +
           " threads");
    }
  }
}

SpectralCase with_everything(SpectralCase c) {
  c.reverse = c.has_h0 = c.has_reset = c.has_ct_final = c.wants_dh0 = true;
  return c;
}

std::vector<Case> cases(DType dtype) {
  std::vector<Case> all;
  const auto add = [&](SpectralCase c, int64_t width, bool filters) {
    c.dtype = dtype;
    c.spacing = 3;
    all.emplace_back(c, width, width == c.channels, !c.reverse, filters);
  };
  SpectralCase shared = spectral_case({70}, 2, 3, 4, 17);  // so many of one k that a part of its sums has two, or one
  shared.k = {1};
  SpectralCase crossed = spectral_case({2, 3}, 5, 4, 5, 9);
  crossed.x = crossed.h0 = {1, 3};
  crossed.k = crossed.reset = {2, 1};
  for (const bool filters : {false, true}) {
    add(spectral_case({2}, 7, 5, 6, 5), 5, filters);
    add(spectral_case({3}, 4, 6, 4, 33), 7, filters);
    add(spectral_case({1}, 3, 8, 8, 32), 32, filters);  // whole lines, which are stored past the caches
    add(spectral_case({2}, 2, 8, 8, 16), 48, filters);
    add(spectral_case({4}, 2, 35, 33, 20), 3, filters);  // frames in parts of rows, the last of them a single row
    add(shared, 3, filters);
    add(crossed, 9, filters);
  }
  add(with_everything(spectral_case({2}, 7, 5, 6, 5)), 5, false);
  add(with_everything(shared), 17, false);
  add(with_everything(crossed), 4, false);
  return all;
}

// So large and alone that all threads work on it; one table a dtype, for the sanitizers' sake.
std::vector<Case> alone(DType dtype) {
  std::vector<Case> all;
  constexpr int64_t kSpreadPixels = 32 << 10;  // as in share_groups
  SpectralCase c = spectral_case({}, 34, 31, 32, 17);
  expect(c.steps * c.height * c.width >= kSpreadPixels, "these frames are too small to be shared");
  c.dtype = dtype;
  c.spacing = 8;
  all.emplace_back(c, 3, false, true, true);
  all.emplace_back(with_everything(c), 17, true, true, false);
  return all;
}

// Calls check(case, spectral kernels, dense kernels of the same set).
template <class Check>
void for_all(const Check& check) {
  const auto dense = dense_tables();
  const auto tables = all_spectral_tables();
  const DenseKernels streams{streaming<&DenseKernels::f32>(), streaming<&DenseKernels::f64>()};
  for (size_t i = 0; i < tables.size(); ++i) {
    const DenseKernels& own = i < dense.size() ? dense[i].kernels : streams;
    for (const DType dtype : {DType::kF32, DType::kF64}) {
      for (const Case& of : cases(dtype)) check(of, tables[i], own);
    }
    for (const Case& of : alone(i % 2 ? DType::kF64 : DType::kF32)) check(of, tables[i], own);
  }
}

void as_without_a_projection() {
  TestPool pool(2);
  for_all([&](const Case& of, const SpectralTable& table, const DenseKernels& dense) {
    of.filters ? check_filter(of, table, dense, pool) : check_scan(of, table, dense, pool);
  });
}

void same_bits_on_any_number_of_threads() {
  TestPool pools[] = {TestPool(1), TestPool(2), TestPool(7)};
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
