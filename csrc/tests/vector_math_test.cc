// The functions of cpu/vector_math.h against the standard library's in long double, on dense samples and special
// values; prints the largest error of each, in units of the result's last place.
#include <cmath>
#include <limits>
#include <vector>

#include "check.h"
#include "kernel_tables.h"
#include "random.h"
#include "vector_math_arrays.h"

namespace cssm::testing {
namespace {

template <class C>
using Limits = std::numeric_limits<C>;

struct NamedTables {
  std::string name;
  MathTables tables;
};

std::vector<NamedTables> machine_math() {
  std::vector<NamedTables> all;
#if defined(CSSM_X86_ISAS)
  if (machine_has(Isa::kAvx512)) all.push_back({"avx512", avx512::math_tables()});
  if (machine_has(Isa::kAvx2)) all.push_back({"avx2", avx2::math_tables()});
#endif
  all.push_back({"baseline", baseline::math_tables()});
  return all;
}

// The largest error seen, and where.
template <class C>
class Errors {
 public:
  // `slack` is an absolute error forgiven.
  void add(C x, C got, long double want, long double slack = 0) {
    const long double exponent =
        std::max<long double>(std::floor(std::log2(std::fabs(want))), Limits<C>::min_exponent - 1);
    const long double ulp = std::ldexp(1.0L, int(exponent) - Limits<C>::digits + 1);
    const long double error = std::max(0.0L, std::fabs(got - want) - slack) / ulp;
    if (error <= worst_) return;  // false for a NaN
    worst_ = error;
    at_ = x;
    got_ = got;
  }
  void expect_at_most(long double bound, const std::string& what) const {
    char line[160];
    std::snprintf(line, sizeof(line), "%s: %.3Lf ulp, at %a, where it is %a", what.c_str(), worst_, double(at_),
                  double(got_));
    std::printf("       %s\n", line);
    if (!(worst_ <= bound)) fail(line);
  }

 private:
  long double worst_ = 0;
  C at_ = 0, got_ = 0;
};

constexpr int kSamples = 1 << 18;

// Uniform in value, and uniform in exponent with either sign.
template <class C>
std::vector<C> uniform(Random& random, double low, double high) {
  std::vector<C> x(kSamples);
  for (C& v : x) v = C(random.uniform(low, high));
  return x;
}
template <class C>
std::vector<C> of_all_scales(Random& random, double low, double high) {
  std::vector<C> x(kSamples);
  for (C& v : x) v = C(std::exp2(random.uniform(std::log2(low), std::log2(high))));
  return x;
}
template <class C>
std::vector<C> signed_both_ways(Random& random, std::vector<C> x) {
  for (C& v : x) v = random.chance(0.5) ? v : -v;
  return x;
}
// The numbers next to multiples of pi / 2, where a reduction loses most.
template <class C>
std::vector<C> near_quarters(Random& random, double high) {
  std::vector<C> x(kSamples);
  for (C& v : x) {
    const long double quarters = std::floor(random.uniform(1, high / 1.6));
    v = C(quarters * 1.57079632679489661923132169163975144L);
    for (int64_t steps = random.below(3); steps > 0; --steps)
      v = std::nextafter(v, random.chance(0.5) ? C(0) : C(high));
  }
  return x;
}

template <class C>
C pow2(int exponent) {
  return std::ldexp(C(1), exponent);
}

template <class C>
void exp_values(const MathArrays<C>& math, const std::string& name) {
  Random random(1);
  std::vector<C> y(kSamples);
  Errors<C> errors;
  const C low = C((Limits<C>::min_exponent - 0.5) * std::log(2.0)), high = C(Limits<C>::max_exponent * std::log(2.0));
  for (const auto& x : {uniform<C>(random, double(low), double(high)),
                        signed_both_ways(random, of_all_scales<C>(random, 1e-30, 80)), uniform<C>(random, -1, 1)}) {
    math.exp(kSamples, x.data(), y.data());
    for (int i = 0; i < kSamples; ++i) {
      if (x[size_t(i)] > low && x[size_t(i)] < high)
        errors.add(x[size_t(i)], y[size_t(i)], std::exp((long double)x[size_t(i)]));
    }
  }
  errors.expect_at_most(1, name + " exp");
}

template <class C>
void log_values(const MathArrays<C>& math, const std::string& name) {
  Random random(2);
  std::vector<C> y(kSamples);
  Errors<C> errors;
  for (const auto& x : {of_all_scales<C>(random, double(Limits<C>::denorm_min()), double(Limits<C>::max()) / 1.001),
                        uniform<C>(random, 0.5, 2), uniform<C>(random, 0.999, 1.001)}) {
    math.log(kSamples, x.data(), y.data());
    for (int i = 0; i < kSamples; ++i) errors.add(x[size_t(i)], y[size_t(i)], std::log((long double)x[size_t(i)]));
  }
  errors.expect_at_most(1, name + " log");
}

template <class C>
void sincos_values(const MathArrays<C>& math, const std::string& name) {
  constexpr bool kDouble = sizeof(C) == 8;
  const double high = kDouble ? 1e9 : 3e5;
  Random random(3);
  std::vector<C> sin(kSamples), cos(kSamples);
  Errors<C> sin_errors, cos_errors;
  for (const auto& x :
       {uniform<C>(random, -high, high), uniform<C>(random, -10, 10),
        signed_both_ways(random, of_all_scales<C>(random, 1e-30, high)), near_quarters<C>(random, high)}) {
    math.sincos(kSamples, x.data(), sin.data(), cos.data());
    for (int i = 0; i < kSamples; ++i) {
      const C v = x[size_t(i)];
      const long double slack = kDouble ? std::ldexp(std::fabs((long double)v), -98) : 0;
      sin_errors.add(v, sin[size_t(i)], std::sin((long double)v), slack);
      cos_errors.add(v, cos[size_t(i)], std::cos((long double)v), slack);
    }
  }
  sin_errors.expect_at_most(2, name + " sin");
  cos_errors.expect_at_most(2, name + " cos");
}

// Beyond its range sincos errs by a rounding of its argument, then is arbitrary, on the unit circle.
template <class C>
void sincos_of_large(const MathArrays<C>& math, const std::string& name) {
  Random random(4);
  std::vector<C> sin(kSamples), cos(kSamples);
  const double high = sizeof(C) == 8 ? 2e15 : 4e6;
  const auto x = uniform<C>(random, -high, high);
  math.sincos(kSamples, x.data(), sin.data(), cos.data());
  for (int i = 0; i < kSamples; ++i) {
    const long double v = x[size_t(i)], bound = (2 + std::fabs(v)) * Limits<C>::epsilon();
    if (!(std::fabs(sin[size_t(i)] - std::sin(v)) <= bound && std::fabs(cos[size_t(i)] - std::cos(v)) <= bound)) {
      fail(name + " sincos(" + std::to_string(double(v)) + ") is off by more than a rounding of its argument");
    }
  }
  const auto larger = signed_both_ways(random, of_all_scales<C>(random, high, double(Limits<C>::max()) / 1.001));
  math.sincos(kSamples, larger.data(), sin.data(), cos.data());
  for (int i = 0; i < kSamples; ++i) {
    const double radius = std::hypot(double(sin[size_t(i)]), double(cos[size_t(i)]));
    if (!(std::fabs(radius - 1) < 4e-7)) {
      fail(name + " sincos(" + std::to_string(double(larger[size_t(i)])) + ") leaves the unit circle");
    }
  }
}

template <class C>
void atan2_values(const MathArrays<C>& math, const std::string& name) {
  Random random(5);
  std::vector<C> angle(kSamples);
  Errors<C> errors;
  const auto check = [&](const std::vector<C>& y, const std::vector<C>& x) {
    math.atan2(kSamples, y.data(), x.data(), angle.data());
    for (int i = 0; i < kSamples; ++i) {
      const long double want = std::atan2((long double)y[size_t(i)], (long double)x[size_t(i)]);
      errors.add(y[size_t(i)] / x[size_t(i)], angle[size_t(i)], want);
    }
  };
  check(uniform<C>(random, -1, 1), uniform<C>(random, -1, 1));
  const double small = sizeof(C) == 8 ? 1e-150 : 1e-18;
  check(signed_both_ways(random, of_all_scales<C>(random, small, 1 / small)),
        signed_both_ways(random, of_all_scales<C>(random, small, 1 / small)));
  std::vector<C> y = of_all_scales<C>(random, 0.1, 10), x = y;  // next to the diagonals
  for (C& v : x) v *= C(1 + random.uniform(-1e-3, 1e-3));
  check(signed_both_ways(random, y), signed_both_ways(random, x));
  errors.expect_at_most(2, name + " atan2");
}

// Equal, with the same sign of zero; or both NaN.
template <class C>
bool same(C a, C b) {
  return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
}

template <class C>
void special_values(const MathArrays<C>& math, const std::string& name) {
  const C inf = Limits<C>::infinity(), nan = Limits<C>::quiet_NaN(), big = Limits<C>::max(), tiny = Limits<C>::min();
  const C pi = C(3.14159265358979323846L);
  std::vector<C> x(size_t(math.width)), y(size_t(math.width)), out(size_t(math.width)), out2(size_t(math.width));
  const auto expect_one = [&](const char* what, C got, C want) {
    if (!same(got, want)) {
      fail(name + " " + what + " gives " + std::to_string(double(got)) + ", expected " + std::to_string(double(want)));
    }
  };
  const auto fill = [](std::vector<C>& v, C value) {
    for (C& element : v) element = value;
    return v.data();
  };
  const auto exp = [&](C value) { return math.exp(math.width, fill(x, value), out.data()), out[0]; };
  const auto log = [&](C value) { return math.log(math.width, fill(x, value), out.data()), out[0]; };
  const auto atan2 = [&](C b, C a) { return math.atan2(math.width, fill(y, b), fill(x, a), out.data()), out[0]; };

  expect_one("exp(0)", exp(0), 1);
  expect_one("exp(-0)", exp(-C(0)), 1);
  expect_one("exp(-inf)", exp(-inf), 0);
  expect_one("exp(inf)", exp(inf), inf);
  expect_one("exp(-max)", exp(-big), 0);
  expect_one("exp(max)", exp(big), inf);
  expect_one("exp(nan)", exp(nan), nan);
  const C overflow = std::log(big);
  expect_one("exp, just too large", exp(overflow * (1 + 4 * Limits<C>::epsilon())), inf);
  expect(std::isfinite(exp(overflow * (1 - 4 * Limits<C>::epsilon()))), "exp overflows early");
  expect(exp(std::log(tiny) + 1) > 0, "exp underflows early");

  expect_one("log(0)", log(0), -inf);
  expect_one("log(-0)", log(-C(0)), -inf);
  expect_one("log(1)", log(1), 0);
  expect_one("log(inf)", log(inf), inf);
  expect_one("log(-1)", log(-1), nan);
  expect_one("log(-inf)", log(-inf), nan);
  expect_one("log(-tiny)", log(-tiny), nan);
  expect_one("log(nan)", log(nan), nan);

  for (C value : {inf, -inf, nan}) {
    math.sincos(math.width, fill(x, value), out.data(), out2.data());
    expect_one("sin of no number", out[0], nan);
    expect_one("cos of no number", out2[0], nan);
  }
  math.sincos(math.width, fill(x, 0), out.data(), out2.data());
  expect_one("sin(0)", out[0], 0);
  expect_one("cos(0)", out2[0], 1);

  for (C sign : {C(1), C(-1)}) {
    const C zero = C(0) * sign;
    expect_one("atan2(+-0, 0)", atan2(zero, 0), zero);
    expect_one("atan2(+-0, -0)", atan2(zero, -C(0)), sign * pi);
    expect_one("atan2(+-0, 1)", atan2(zero, 1), zero);
    expect_one("atan2(+-0, -1)", atan2(zero, -1), sign * pi);
    expect_one("atan2(+-0, tiny)", atan2(zero, tiny), zero);
    expect_one("atan2(+-0, inf)", atan2(zero, inf), zero);
    expect_one("atan2(+-0, -inf)", atan2(zero, -inf), sign * pi);
    expect_one("atan2(+-1, 0)", atan2(sign, 0), sign * pi / 2);
    expect_one("atan2(+-1, -0)", atan2(sign, -C(0)), sign * pi / 2);
    expect_one("atan2(+-1, inf)", atan2(sign, inf), zero);
    expect_one("atan2(+-1, -inf)", atan2(sign, -inf), sign * pi);
    expect_one("atan2(+-inf, 1)", atan2(sign * inf, 1), sign * pi / 2);
    expect_one("atan2(+-1, 1)", atan2(sign, 1), sign * pi / 4);
    expect_one("atan2(+-max, -1)", atan2(sign * big, -1), sign * pi / 2);
    expect_one("atan2(+-1, nan)", atan2(sign, nan), nan);
    expect_one("atan2(nan, +-1)", atan2(nan, sign), nan);
    expect_one("atan2(nan, +-0)", atan2(nan, zero), nan);
    expect_one("atan2(+-0, nan)", atan2(zero, nan), nan);
  }
}

// What one element is does not depend on its neighbours.
template <class C>
void lanes_are_independent(const MathArrays<C>& math, const std::string& name) {
  Random random(6);
  const auto n = size_t(math.width);
  std::vector<C> x(n), y(n), together(n), alone(n), values(n);
  for (int round = 0; round < 200; ++round) {
    for (size_t i = 0; i < n; ++i) {
      x[i] = random.one_of<C>({C(random.uniform(-3, 3)), 0, Limits<C>::infinity(), Limits<C>::quiet_NaN(), C(1e30)});
      y[i] = C(random.uniform(-3, 3));
    }
    const auto check = [&](auto&& function) {
      function(x, y, together);
      for (size_t i = 0; i < n; ++i) {
        function(std::vector<C>(n, x[i]), std::vector<C>(n, y[i]), alone);
        if (!same(together[i], alone[0])) fail(name + ": a lane depends on another");
      }
    };
    using In = std::vector<C>;
    check([&](const In& a, const In&, In& out) { math.exp(math.width, a.data(), out.data()); });
    check([&](const In& a, const In&, In& out) { math.log(math.width, a.data(), out.data()); });
    check([&](const In& a, const In&, In& out) { math.sincos(math.width, a.data(), out.data(), values.data()); });
    check([&](const In& a, const In&, In& out) { math.sincos(math.width, a.data(), values.data(), out.data()); });
    check([&](const In& a, const In& b, In& out) { math.atan2(math.width, b.data(), a.data(), out.data()); });
  }
}

template <class C>
void all(const MathArrays<C>& math, const std::string& name) {
  test((name + " values").c_str(), [&] {
    exp_values(math, name);
    log_values(math, name);
    sincos_values(math, name);
    atan2_values(math, name);
  });
  test((name + " phases out of range").c_str(), [&] { sincos_of_large(math, name); });
  test((name + " special values").c_str(), [&] { special_values(math, name); });
  test((name + " lanes").c_str(), [&] { lanes_are_independent(math, name); });
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  for (const auto& [name, tables] : machine_math()) {
    all(tables.f32, name + " float");
    all(tables.f64, name + " double");
  }
  return exit_status();
}
