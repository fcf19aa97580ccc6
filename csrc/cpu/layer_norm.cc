#include "cpu/layer_norm.h"

#include <algorithm>
#include <memory>

#include "common/task_grid.h"
#include "common/workspace.h"
#include "cpu/part_sums.h"

namespace cssm {
namespace {

constexpr int64_t kMinTaskBytes = 64 << 10, kPartBytes = 128 << 10, kMostParts = 64;
// Of a part at least, so that its sums are small beside it.
constexpr int64_t kRowsOfPart = 128;

int64_t row_bytes(const NormProblem& p) { return p.channels * int64_t(element_bytes(p.dtype)); }

void* scratch(const NormProblem& p, int64_t rows) {
  return workspace(Purpose::kBlock).get<char>(int64_t(norm_scratch_bytes(p.dtype, p.channels, rows)));
}

}  // namespace

size_t norm_scratch_bytes(DType dtype, int64_t channels, int64_t scratch_rows) {
  constexpr size_t kWidestVector = 64;
  const size_t row = size_t(channels) * element_bytes(state_dtype(dtype));
  return size_t(scratch_rows) * ((row + kWidestVector - 1) / kWidestVector * kWidestVector);
}

void layer_norm_forward(const NormProblem& p, const char* x, const char* scale, const char* bias, char* y,
                        const NormKernels& kernels, ThreadPool& pool) {
  const auto kernel = kernels.forward[int(p.dtype)][int(p.activation)];
  const int64_t affordable = std::max<int64_t>(p.rows * row_bytes(p) / kMinTaskBytes, 1);
  const int64_t blocks = (p.rows + kNormRowsAtOnce - 1) / kNormRowsAtOnce;
  const int64_t tasks = std::min({affordable, 4 * pool.num_threads(), blocks});
  parallel_for(pool, tasks, [&](int64_t task) {
    const Range own = part(blocks, tasks, task);
    const int64_t begin = own.begin * kNormRowsAtOnce, end = std::min(own.end * kNormRowsAtOnce, p.rows);
    const int64_t at = begin * row_bytes(p);
    kernel({{end - begin, p.channels, p.eps, x + at, scale, scratch(p, kNormForwardScratch)}, bias, y + at});
  });
}

void layer_norm_backward(const NormProblem& p, const char* x, const char* scale, const char* ct, char* dx, char* dscale,
                         char* dbias, const NormKernels& kernels, ThreadPool& pool) {
  const auto kernel = kernels.backward[int(p.dtype)][int(p.activation)];
  // Cut by shapes alone: the order of sums is the same on any number of threads.
  const int64_t most = std::clamp<int64_t>(p.rows / kRowsOfPart, 1, kMostParts);
  const int64_t parts = std::clamp<int64_t>(p.rows * row_bytes(p) / kPartBytes, 1, most);
  const int64_t set = dscale || dbias ? 2 * p.channels : 0;
  const std::unique_ptr<double[]> sums(new double[size_t(parts * set)]());
  parallel_for(pool, parts, [&](int64_t task) {
    const Range rows = part(p.rows, parts, task);
    const int64_t at = rows.begin * row_bytes(p);
    double* const own = set ? sums.get() + task * set : nullptr;
    kernel({{rows.end - rows.begin, p.channels, p.eps, x + at, scale, scratch(p, kNormBackwardScratch)},
            ct + at,
            dx ? dx + at : nullptr,
            own,
            set ? own + p.channels : nullptr});
  });
  const DType wide = state_dtype(p.dtype);
  if (dscale) write_part_sums(sums.get(), parts, set, p.channels, wide, dscale);
  if (dbias) write_part_sums(sums.get() + p.channels, parts, set, p.channels, wide, dbias);
}

}  // namespace cssm
