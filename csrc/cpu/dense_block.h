// The inner loops of dense: output channels in the lanes of a vector, tiles of sums in registers. Compiled once per
// instruction set, for numbers of one type throughout.
//
//   y = x w + bias - minus;  of the gradients, dx = ct w^T by the same loops, and the sums of x^T ct and of ct over
//   rows
#pragma once

#include <cstdint>

#include "common/dtype.h"

namespace cssm {

// y (rows, width) of x (rows, depth) and a matrix that `pack` has laid out.
struct DenseRows {
  int64_t rows, depth, width;
  const void* x;
  const void* packed;
  const void* minus;  // null: nothing
  void* y;
  bool stream;  // asks for stores past the caches, where lines are whole: then a fence before another thread may read y
};

// The sums over rows, added to: of x^T ct, (depth, width), and of ct, (width). Either may be null.
struct DenseSums {
  int64_t rows, depth, width;
  const void *x, *ct;
  double *products, *totals;
};

// w (depth, width) from elements `row_step` and `column_step` apart; a null bias is zeros.
struct DenseMatrix {
  int64_t depth, width;
  const void* w;
  int64_t row_step, column_step;
  const void* bias;
};

struct DenseKernelsOf {
  int64_t (*packed_size)(int64_t depth, int64_t width);  // numbers
  void (*pack)(const DenseMatrix&, void* packed);
  void (*rows)(const DenseRows&);
  void (*sums)(const DenseSums&);
  // to = a - b, and `stream` as above
  void (*subtract)(int64_t numbers, const void* a, const void* b, void* to, bool stream);
};

struct DenseKernels {
  DenseKernelsOf f32, f64;
};

namespace baseline {
const DenseKernels& dense_kernels();
}
#if defined(CSSM_X86_ISAS)
namespace avx2 {
const DenseKernels& dense_kernels();
}
namespace avx512 {
const DenseKernels& dense_kernels();
}
#endif

}  // namespace cssm
