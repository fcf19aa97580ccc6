// The functions of cpu/vector_math.h over arrays, one table an instruction set.
#pragma once

#include <cstdint>

namespace cssm::testing {

template <class C>
struct MathArrays {
  int width;  // counts are multiples of it
  void (*exp)(int64_t count, const C* x, C* y);
  void (*log)(int64_t count, const C* x, C* y);
  void (*sincos)(int64_t count, const C* x, C* sin, C* cos);
  void (*atan2)(int64_t count, const C* y, const C* x, C* angle);
};

struct MathTables {
  MathArrays<float> f32;
  MathArrays<double> f64;
};

}  // namespace cssm::testing

namespace cssm {
namespace baseline {
testing::MathTables math_tables();
}
#if defined(CSSM_X86_ISAS)
namespace avx2 {
testing::MathTables math_tables();
}
namespace avx512 {
testing::MathTables math_tables();
}
#endif
}  // namespace cssm
