// The vector conversions of the half-precision types, seen through the kernels: whole vectors and remainders of every
// set.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "check.h"
#include "half_cases.h"
#include "kernel_tables.h"
#include "scan_case.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

const HalfFormat& format_of(DType dtype) { return dtype == DType::kF16 ? kFloat16Format : kBFloat16Format; }

// One step over `lanes`, which are no whole number of any set's vectors.
ScanCase one_step(DType dtype, int64_t lanes) {
  ScanCase c;
  c.dtype = dtype;
  c.shape = c.x = {1, lanes};
  c.a = {1, 1};
  c.axis = 0;
  return c;
}

uint16_t pattern(const Array& array, int64_t i) {
  uint16_t bits;
  std::memcpy(&bits, array.bytes() + 2 * i, sizeof(bits));
  return bits;
}
void set_pattern(Array& array, int64_t i, uint16_t bits) { std::memcpy(array.bytes() + 2 * i, &bits, sizeof(bits)); }

// With every step reset, h = x and final = widened x, with no arithmetic between.
void round_trips(const KernelTable& table, DType dtype, int64_t lanes, TestPool& pool) {
  Random random(1);
  const HalfFormat& format = format_of(dtype);
  ScanCase c = one_step(dtype, lanes);
  c.reset = {1, 1};
  ScanInputs in = random_inputs(c, random);
  in.reset[0] = 1;
  for (int64_t first = 0; first < 65536; first += lanes) {
    for (int64_t i = 0; i < lanes; ++i) set_pattern(in.x, i, uint16_t(first + i));
    const ForwardResult out = run_forward(c, in, table.kernels, pool);
    for (int64_t i = 0; i < lanes; ++i) {
      const uint16_t bits = uint16_t(first + i), back = pattern(out.h, i);
      const double wide = out.final_state[i].real();
      const bool is_infinity = (bits & 0x7fff) == format.infinity();
      const bool ok = format.is_nan(bits)
                          ? std::isnan(wide) && format.is_nan(back)
                          : back == bits && (is_infinity ? std::isinf(wide) : wide == format.value(bits));
      if (ok) continue;
      return fail(table.name + " " + dtype_name(dtype) + ": pattern " + std::to_string(bits) + " widens to " +
                  std::to_string(wide) + " and goes back to " + std::to_string(back));
    }
  }
}

// With a = 1 and x = -0, h is h0, a float, rounded. Float denormals are flushed on the way.
void rounding(const KernelTable& table, DType dtype, int64_t lanes, TestPool& pool) {
  Random random(2);
  ScanCase c = one_step(dtype, lanes);
  c.h0 = c.state();
  ScanInputs in = random_inputs(c, random);
  in.a.set(0, 1);
  for (int64_t i = 0; i < lanes; ++i) in.x.set(i, -0.0);
  std::vector<float> floats = format_of(dtype).hard_floats(random, 4000);
  for (float& value : floats) {
    if (std::fpclassify(value) == FP_SUBNORMAL) value = 1;
  }
  floats.resize(floats.size() / size_t(lanes) * size_t(lanes));
  for (size_t first = 0; first < floats.size(); first += size_t(lanes)) {
    for (int64_t i = 0; i < lanes; ++i) in.h0.set(i, floats[first + size_t(i)]);
    const ForwardResult out = run_forward(c, in, table.kernels, pool);
    for (int64_t i = 0; i < lanes; ++i) {
      const float value = floats[first + size_t(i)];
      const uint16_t got = pattern(out.h, i), want = format_of(dtype).rounded(value);
      if (got == want) continue;
      char message[160];
      std::snprintf(message, sizeof(message), "%s %s: %a is rounded to 0x%04x; expected 0x%04x", table.name.c_str(),
                    dtype_name(dtype), double(value), got, want);
      return fail(message);
    }
  }
}

// A NaN whose mantissa would carry into the sign if it were rounded as a number's.
void nans(const KernelTable& table, DType dtype, int64_t lanes, TestPool& pool) {
  Random random(3);
  ScanCase c = one_step(dtype, lanes);
  c.h0 = c.state();
  const ScanInputs in = random_inputs(c, random);
  std::memset(in.h0.bytes(), 0xff, in.h0.num_bytes());
  const ForwardResult out = run_forward(c, in, table.kernels, pool);
  for (int64_t i = 0; i < lanes; ++i) {
    if (format_of(dtype).is_nan(pattern(out.h, i))) continue;
    return fail(table.name + " " + dtype_name(dtype) + ": a NaN became a number");
  }
}

template <class Body>
void for_each_table(Body&& body) {
  TestPool pool(1);
  for (const KernelTable& table : machine_tables()) {
    for (DType dtype : {DType::kF16, DType::kBF16}) {
      for (int64_t lanes : {19, 39, 2047}) body(table, dtype, lanes, pool);
    }
  }
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  test("round trips", [] { for_each_table(round_trips); });
  test("rounding", [] { for_each_table(rounding); });
  test("NaNs", [] { for_each_table(nans); });
  return exit_status();
}
