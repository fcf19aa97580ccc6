// The same numbers on every platform, unlike the standard library's distributions.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <random>

namespace cssm::testing {

class Random {
 public:
  explicit Random(uint64_t seed) : bits_(seed) {}

  uint64_t bits() { return bits_(); }
  int64_t below(int64_t n) { return int64_t(bits_() % uint64_t(n)); }
  bool chance(double p) { return uniform() < p; }
  double uniform() { return double(bits_() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[below(int64_t(values.size()))];
  }

 private:
  std::mt19937_64 bits_;
};

}  // namespace cssm::testing
