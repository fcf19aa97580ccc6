#include "vector_math_arrays.h"

#include "cpu/vector_math.h"

namespace cssm {
namespace CSSM_ISA {
namespace {

template <class C>
struct Arrays {
  static constexpr int W = kVectorBytes / int(sizeof(C));
  using Math = VectorMath<C, W>;

  static void exp(int64_t count, const C* x, C* y) {
    for (int64_t i = 0; i < count; i += W) store<C, W>(y + i, Math::exp(load<C, W>(x + i)));
  }
  static void log(int64_t count, const C* x, C* y) {
    for (int64_t i = 0; i < count; i += W) store<C, W>(y + i, Math::log(load<C, W>(x + i)));
  }
  static void sincos(int64_t count, const C* x, C* sin, C* cos) {
    for (int64_t i = 0; i < count; i += W) {
      const auto both = Math::sincos(load<C, W>(x + i));
      store<C, W>(sin + i, both.sin);
      store<C, W>(cos + i, both.cos);
    }
  }
  static void atan2(int64_t count, const C* y, const C* x, C* angle) {
    for (int64_t i = 0; i < count; i += W) {
      store<C, W>(angle + i, Math::atan2(load<C, W>(y + i), load<C, W>(x + i)));
    }
  }
  static constexpr testing::MathArrays<C> table() { return {W, exp, log, sincos, atan2}; }
};

}  // namespace

testing::MathTables math_tables() { return {Arrays<float>::table(), Arrays<double>::table()}; }

}  // namespace CSSM_ISA
}  // namespace cssm
