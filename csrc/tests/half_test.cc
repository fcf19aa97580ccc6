// The scalar conversions of common/half.h.
#include "common/half.h"

#include <cmath>
#include <cstdio>

#include "check.h"
#include "half_cases.h"

namespace cssm::testing {
namespace {

template <class S>
void round_trips(const HalfFormat& format) {
  for (int i = 0; i < 65536; ++i) {
    const uint16_t bits = uint16_t(i);
    const float wide = widened<float>(S{bits});
    const uint16_t back = narrowed<S>(wide).bits;
    const bool is_infinity = (bits & 0x7fff) == format.infinity();
    const bool ok = format.is_nan(bits)
                        ? std::isnan(wide) && format.is_nan(back) && (bits & 0x8000) == (back & 0x8000)
                        : back == bits && (is_infinity ? std::isinf(wide) : wide == format.value(bits)) &&
                              std::signbit(wide) == bool(bits & 0x8000);
    if (!ok)
      fail("pattern " + std::to_string(i) + " widens to " + std::to_string(wide) + " and goes back to " +
           std::to_string(back));
  }
}

template <class S>
void rounding(const HalfFormat& format) {
  Random random(1);
  for (float value : format.hard_floats(random, 40000)) {
    const uint16_t got = narrowed<S>(value).bits, want = format.rounded(value);
    if (got == want) continue;
    char message[100];
    std::snprintf(message, sizeof(message), "%a is rounded to 0x%04x; expected 0x%04x", double(value), got, want);
    fail(message);
  }
}

// NaNs whose mantissa would vanish, or carry into the exponent, if it were rounded as a number's.
template <class S>
void nans(const HalfFormat& format) {
  for (uint32_t mantissa : {1u, 0x1fffu, 0x8000u, 0xffffu, 0x400000u, 0x7fffffu}) {
    for (uint32_t sign : {0u, 0x80000000u}) {
      expect(format.is_nan(narrowed<S>(to_float(sign | 0x7f800000u | mantissa)).bits), "a NaN became a number");
    }
  }
}

template <class S>
void all(const char* name, const HalfFormat& format) {
  test((std::string(name) + " round trips").c_str(), [&] { round_trips<S>(format); });
  test((std::string(name) + " rounding").c_str(), [&] { rounding<S>(format); });
  test((std::string(name) + " NaNs").c_str(), [&] { nans<S>(format); });
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  all<cssm::F16Storage>("float16", kFloat16Format);
  all<cssm::BF16Storage>("bfloat16", kBFloat16Format);
  return exit_status();
}
