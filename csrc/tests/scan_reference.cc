#include "scan_reference.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "check.h"

namespace cssm::testing {
namespace {

using Complex = std::complex<double>;

// A few roundings an operation: a complex product and sum round each part up to three times.
constexpr double kRoundings = 4;
// Sums of da run in the computed precision over at most this many terms a vector lane, before they are added up in
// double; sums of float64 run in double throughout, over more terms but with errors of random sign.
constexpr double kSumRoundings = 300;

struct Precision {
  explicit Precision(DType dtype) {
    const bool is_double = dtype == DType::kF64 || dtype == DType::kC128;
    computed = is_double ? 0x1p-53 : 0x1p-24;
    stored = dtype == DType::kBF16 ? 0x1p-8 : dtype == DType::kF16 ? 0x1p-11 : 0;
    // Denormals are flushed at every step; float16 has denormals of its own.
    flushed = is_double ? 1e-305 : 1e-36;
    smallest_stored = dtype == DType::kF16 ? 0x1p-25 : 0;
  }
  double state_bound(double error) const { return 1.01 * error + flushed; }
  double stored_bound(double error, Complex value) const {
    return 1.01 * (error + stored * std::abs(value)) + flushed + smallest_stored;
  }
  double computed, stored, flushed, smallest_stored;
};

// Calls body(index at the first step taken) for every lane.
template <class Body>
void for_each_lane(const ScanCase& c, Body&& body) {
  Dims index(c.shape.size(), 0);
  const Dims lanes = c.state();
  do {
    body(index);
  } while (advance(index, lanes));
}

bool is_reset(const ScanCase& c, const ScanInputs& in, const Dims& index) {
  return in.reset && in.reset[position(c.reset, index)];
}

Reference zeros(const Dims& dims) { return {std::vector<Complex>(product(dims)), std::vector<double>(product(dims))}; }

}  // namespace

ForwardReference forward_reference(const ScanCase& c, const ScanInputs& in) {
  const Precision precision(c.dtype);
  ForwardReference out{zeros(c.shape), zeros(c.state())};
  for_each_lane(c, [&](Dims index) {
    const int64_t lane = position(c.state(), index);
    Complex h = c.h0.empty() ? 0 : in.h0[position(c.h0, index)];
    double error = 0;
    for (int64_t step = 0; step < c.shape[c.axis]; ++step) {
      index[c.axis] = c.reverse ? c.shape[c.axis] - 1 - step : step;
      const Complex a = in.a[position(c.a, index)], x = in.x[position(c.x, index)];
      if (is_reset(c, in, index)) {
        h = x;
        error = 0;
      } else {
        error = std::abs(a) * error + kRoundings * precision.computed * (std::abs(a * h) + std::abs(x));
        h = a * h + x;
      }
      const int64_t at = position(c.shape, index);
      out.h.value[at] = h;
      out.h.bound[at] = precision.stored_bound(error, h);
    }
    out.final_state.value[lane] = h;
    out.final_state.bound[lane] = precision.state_bound(error);
  });
  return out;
}

BackwardReference backward_reference(const ScanCase& c, const ScanInputs& in) {
  const Precision precision(c.dtype);
  const bool summed = c.a != c.shape;
  BackwardReference out{zeros(c.a), zeros(c.shape), zeros(c.state())};
  for_each_lane(c, [&](Dims index) {
    const int64_t steps = c.shape[c.axis], lane = position(c.state(), index);
    Complex carry = c.has_ct_final ? in.ct_final[lane] : 0;
    double error = 0;
    const Complex h0 = c.h0.empty() ? 0 : in.h0[position(c.h0, index)];
    for (int64_t step = steps - 1; step >= 0; --step) {
      index[c.axis] = c.reverse ? steps - 1 - step : step;
      Dims previous = index;
      previous[c.axis] += c.reverse ? 1 : -1;
      const int64_t at = position(c.shape, index), a_at = position(c.a, index);
      const Complex a = in.a[a_at], ct = c.has_ct ? in.ct[at] : 0;
      const Complex g = ct + carry;
      error += kRoundings * precision.computed * (std::abs(ct) + std::abs(carry));
      out.dx.value[at] = g;
      out.dx.bound[at] = precision.stored_bound(error, g);
      if (is_reset(c, in, index)) {
        carry = 0;
        error = 0;
        continue;
      }
      const Complex h_previous = step == 0 ? h0 : in.h[position(c.shape, previous)], term = g * h_previous;
      out.da.value[a_at] += term;
      // h0 may be rounded to the type h is stored in.
      out.da.bound[a_at] += std::abs(h_previous) * error + (step == 0 ? precision.stored : 0) * std::abs(term) +
                            (summed ? kSumRoundings : kRoundings) * precision.computed * std::abs(term);
      carry = a * g;
      error = std::abs(a) * error + kRoundings * precision.computed * std::abs(carry);
    }
    out.dh0.value[lane] = carry;
    out.dh0.bound[lane] = precision.state_bound(error);
  });
  for (size_t i = 0; i < out.da.value.size(); ++i) {
    out.da.bound[i] = precision.stored_bound(out.da.bound[i], out.da.value[i]);
  }
  return out;
}

void expect_close(const char* name, const Array& got, const Reference& want, const ScanCase& c,
                  const std::string& table) {
  for (int64_t i = 0; i < got.size(); ++i) {
    const Complex value = got[i];
    if (std::abs(value - want.value[i]) <= want.bound[i]) continue;
    char numbers[160];
    std::snprintf(numbers, sizeof(numbers), " is %.9g%+.9gi; expected %.9g%+.9gi within %.3g", value.real(),
                  value.imag(), want.value[i].real(), want.value[i].imag(), want.bound[i]);
    return fail(table + " " + c.describe() + ": " + name + "[" + std::to_string(i) + "] of " + to_string(got.dims()) +
                numbers);
  }
}

}  // namespace cssm::testing
