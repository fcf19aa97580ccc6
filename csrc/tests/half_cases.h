// The half-precision types by their definition, and floats that are hard to round to them.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "random.h"

namespace cssm::testing {

struct HalfFormat {
  int exponent_bits, mantissa_bits;

  uint16_t infinity() const { return uint16_t(((1 << exponent_bits) - 1) << mantissa_bits); }
  bool is_nan(uint16_t bits) const { return (bits & 0x7fff) > infinity(); }

  // The value of a pattern; infinity's is the number that would follow the largest, which is how rounding sees it.
  double value(uint16_t bits) const {
    const int exponent = (bits & 0x7fff) >> mantissa_bits, mantissa = bits & ((1 << mantissa_bits) - 1);
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const double significand = (exponent ? 1 : 0) + std::ldexp(mantissa, -mantissa_bits);
    const double magnitude = std::ldexp(significand, (exponent ? exponent : 1) - bias);
    return bits & 0x8000 ? -magnitude : magnitude;
  }

  // To nearest, ties to even, by search: patterns of one sign are in the order of their values.
  uint16_t rounded(float value) const {
    const double magnitude = std::fabs(double(value));
    uint16_t low = 0, high = infinity();
    if (magnitude >= this->value(high)) {
      low = high;
    }
    while (high - low > 1) {
      const uint16_t middle = uint16_t((low + high) / 2);
      (this->value(middle) <= magnitude ? low : high) = middle;
    }
    const double below = magnitude - this->value(low), above = this->value(high) - magnitude;
    const uint16_t nearest = low == high || below < above ? low : above < below ? high : low & 1 ? high : low;
    return uint16_t(nearest | (std::signbit(value) ? 0x8000 : 0));
  }

  // All finite patterns, the midpoints after them and their neighbours, then random numbers.
  std::vector<float> hard_floats(Random& random, int count) const {
    std::vector<float> floats = {0.0f, -0.0f, INFINITY, -INFINITY, 3e38f, -3e38f, 65519.996f, 65520.0f};
    for (int i = 0; i < count; ++i) {
      const uint16_t bits = uint16_t(random.below(infinity()));
      const double sign = random.chance(0.5) ? -1 : 1;
      const float exact = float(sign * value(bits)),
                  middle = float(sign * (value(bits) + value(uint16_t(bits + 1))) / 2);
      floats.insert(floats.end(), {exact, middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 2 * middle)});
      floats.push_back(float(sign * std::ldexp(random.uniform(1, 2), int(random.below(50)) - 30)));
    }
    return floats;
  }
};

inline constexpr HalfFormat kFloat16Format{5, 10}, kBFloat16Format{8, 7};

}  // namespace cssm::testing
