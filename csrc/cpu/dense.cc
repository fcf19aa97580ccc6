#include "cpu/dense.h"

#include <algorithm>
#include <memory>

#include "common/task_grid.h"
#include "common/workspace.h"
#include "cpu/part_sums.h"

namespace cssm {
namespace {

constexpr int64_t kMinTaskOps = 1 << 20, kTasksAThread = 4;
// Rows whose sums run in the type computed in before they are added to those in double, and stay in a near cache.
constexpr int64_t kSummedRows = 256;
constexpr int64_t kMostParts = 64;

class Dense {
 public:
  Dense(const DenseProblem& p, const DenseKernels& kernels)
      : p(p), kernels(p.dtype == DType::kF64 ? kernels.f64 : kernels.f32), element(int64_t(element_bytes(p.dtype))) {}

  // Packed by the calling thread, for all.
  const void* pack(Purpose purpose, const DenseMatrix& m) const {
    const int64_t bytes = kernels.packed_size(m.depth, m.width) * element;
    char* const packed = workspace(purpose).template get<char>(bytes);
    kernels.pack(m, packed);
    return packed;
  }

  const DenseProblem& p;
  const DenseKernelsOf& kernels;
  const int64_t element;
};

}  // namespace

void dense_forward(const DenseProblem& p, const char* x, const char* w, const char* bias, const char* minus, char* y,
                   const DenseKernels& kernels, ThreadPool& pool) {
  const Dense dense(p, kernels);
  const void* const packed = dense.pack(Purpose::kMatrix, {p.depth, p.width, w, p.width, 1, bias});
  const int64_t x_row = p.depth * dense.element, y_row = p.width * dense.element;
  const int64_t affordable = std::max<int64_t>(p.rows * p.depth * p.width / kMinTaskOps, 1);
  const int64_t tasks = std::min({affordable, kTasksAThread * pool.num_threads(), p.rows});
  parallel_for(pool, tasks, [&](int64_t task) {
    const Range own = part(p.rows, tasks, task);
    const int64_t at = own.begin * y_row;
    dense.kernels.rows({own.end - own.begin, p.depth, p.width, x + own.begin * x_row, packed,
                        minus ? minus + at : nullptr, y + at, false});
  });
}

void dense_backward(const DenseProblem& p, const char* x, const char* w, const char* ct, char* dx, char* dw,
                    char* dbias, const DenseKernels& kernels, ThreadPool& pool) {
  const Dense dense(p, kernels);
  const void* const transposed =
      dx ? dense.pack(Purpose::kMatrix, {p.width, p.depth, w, 1, p.width, nullptr}) : nullptr;
  const int64_t x_row = p.depth * dense.element, y_row = p.width * dense.element;
  // Cut by shapes alone: the order of sums is the same on any number of threads.
  const int64_t blocks = (p.rows + kSummedRows - 1) / kSummedRows;
  const int64_t parts = std::min(blocks, kMostParts);
  const int64_t products = dw ? p.depth * p.width : 0, set = products + (dbias ? p.width : 0);
  const std::unique_ptr<double[]> sums(new double[size_t(parts * set)]());
  parallel_for(pool, parts, [&](int64_t task) {
    const Range own = part(blocks, parts, task);
    double* const to = sums.get() + task * set;
    for (int64_t row = own.begin * kSummedRows; row < std::min(own.end * kSummedRows, p.rows); row += kSummedRows) {
      const int64_t rows = std::min(kSummedRows, p.rows - row);
      if (set) {
        dense.kernels.sums({rows, p.depth, p.width, x ? x + row * x_row : nullptr, ct + row * y_row, dw ? to : nullptr,
                            dbias ? to + products : nullptr});
      }
      if (dx)
        dense.kernels.rows({rows, p.width, p.depth, ct + row * y_row, transposed, nullptr, dx + row * x_row, false});
    }
  });
  if (dw) write_part_sums(sums.get(), parts, set, products, p.dtype, dw);
  if (dbias) write_part_sums(sums.get() + products, parts, set, p.width, p.dtype, dbias);
}

}  // namespace cssm
