#include "cpu/linear_scan.h"

#include <algorithm>
#include <memory>

#include "common/memory.h"
#include "cpu/linear_scan_runs.h"
#include "cpu/linear_scan_tiles.h"

namespace cssm {
namespace {

template <class Body>
void with_number(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::kF32: return body(Number<float, float, 1, DType::kF32>{});
    case DType::kF64: return body(Number<double, double, 1, DType::kF64>{});
    case DType::kC64: return body(Number<float, float, 2, DType::kC64>{});
    case DType::kC128: return body(Number<double, double, 2, DType::kC128>{});
    case DType::kBF16: return body(Number<BF16Storage, float, 1, DType::kBF16>{});
    case DType::kF16: return body(Number<F16Storage, float, 1, DType::kF16>{});
  }
}

int64_t product(const Dims& dims) {
  int64_t n = 1;
  for (int64_t size : dims) n *= size;
  return n;
}

ScanContext make_context(const LinearScanProblem& p, const LinearScanKernels& kernels, const Dims& x_dims,
                         int64_t full_arrays, int64_t sums_bytes, ThreadPool& pool) {
  ScanView view = make_scan_view(p.shape, p.axis, p.a_dims, x_dims, p.reset_dims, p.h0_dims);
  TaskGrid grid = make_task_grid(view, element_bytes(p.dtype), sums_bytes, pool.num_threads());
  const int64_t elements = full_arrays * product(p.shape) + product(p.a_dims);
  const bool stream = elements * int64_t(element_bytes(p.dtype)) > last_level_cache_bytes();
  return {p, kernels, std::move(view), std::move(grid), stream};
}

// Sums of da: one set a task along the reduced dimensions, added up in a fixed order at the end.
class GradASums {
 public:
  GradASums(int64_t sets, int64_t size) : sets_(sets), size_(size), sums_(new double[sets * size]()) {}

  double* set(int64_t i) const { return sums_.get() + i * size_; }

  template <class N>
  void write(char* da, ThreadPool& pool) const {
    using S = typename N::S;
    constexpr int64_t kChunk = 1 << 14;
    parallel_for(pool, (size_ + kChunk - 1) / kChunk, [&](int64_t chunk) {
      for (int64_t i = chunk * kChunk; i < std::min(size_, (chunk + 1) * kChunk); ++i) {
        double sum = 0;
        for (int64_t s = 0; s < sets_; ++s) sum += set(s)[i];
        reinterpret_cast<S*>(da)[i] = narrowed<S>(typename N::C(sum));
      }
    });
  }

 private:
  int64_t sets_, size_;
  std::unique_ptr<double[]> sums_;
};

}  // namespace

void linear_scan_forward(const LinearScanProblem& p, const LinearScanForward& f, const LinearScanKernels& kernels,
                         ThreadPool& pool) {
  with_number(p.dtype, [&](auto number) {
    using N = decltype(number);
    const ScanContext context = make_context(p, kernels, f.x_dims, 2, 0, pool);
    parallel_for(pool, context.grid.num_tasks(), [&](int64_t task) {
      if (context.grid.contiguous) {
        LinearScanRuns<N>(context).forward(f, task);
      } else {
        LinearScanTiles<N>(context).forward(f, task);
      }
    });
  });
}

void linear_scan_backward(const LinearScanProblem& p, const LinearScanBackward& b, const LinearScanKernels& kernels,
                          ThreadPool& pool) {
  with_number(p.dtype, [&](auto number) {
    using N = decltype(number);
    const bool summed = b.da && p.a_dims != p.shape;
    const int64_t size = summed ? product(p.a_dims) * N::kParts : 0;
    const ScanContext context = make_context(p, kernels, p.shape, 3, size * int64_t(sizeof(double)), pool);
    const GradASums sums(context.grid.tasks_reduced, size);
    parallel_for(pool, context.grid.num_tasks(), [&](int64_t task) {
      double* const into = summed ? sums.set(task % context.grid.tasks_reduced) : nullptr;
      if (context.grid.contiguous) {
        LinearScanRuns<N>(context).backward(b, task, into);
      } else {
        LinearScanTiles<N>(context).backward(b, task, into);
      }
    });
    if (summed) sums.write<N>(b.da, pool);
  });
}

}  // namespace cssm
