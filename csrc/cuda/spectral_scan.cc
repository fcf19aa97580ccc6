#include "cuda/spectral_scan.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "cuda/complex.h"
#include "cuda/spectral_kernels.h"
#include "cuda/spectral_layout.h"
#include "cuda/spectral_plan.h"

namespace cssm::cuda {
namespace {

int32_t narrowed_size(int64_t size) {
  if (size > std::numeric_limits<int32_t>::max()) throw std::invalid_argument("cssm_kernels: a size beyond 2^31");
  return int32_t(size);
}

int64_t product(const Dims& dims) {
  int64_t n = 1;
  for (const int64_t size : dims) n *= size;
  return n;
}

// Strides in batch elements of an operand, aligned to the right of kMaxBatchDims.
void set_strides(const Dims& have, int32_t (&stride)[kMaxBatchDims]) {
  std::fill_n(stride, kMaxBatchDims, 0);
  int64_t step = 1;
  for (size_t d = have.size(), at = kMaxBatchDims; d-- > 0;) {
    stride[--at] = have[d] == 1 ? 0 : narrowed_size(step);
    step *= have[d];
  }
}

SpectralScan scan_of(const SpectralOperands& o) {
  if (o.batch.size() > kMaxBatchDims) throw std::invalid_argument("cssm_kernels: too many batch dimensions");
  if (o.chunk_steps < o.steps && o.chunk_steps % o.spacing != 0) {
    throw std::invalid_argument("cssm_kernels: chunks that do not begin at a checkpoint");
  }
  SpectralScan scan{};
  narrowed_size(product(o.batch) * o.steps * o.channels);
  scan.batch = narrowed_size(product(o.batch));
  scan.steps = narrowed_size(o.steps);
  scan.height = narrowed_size(o.height);
  scan.width = narrowed_size(o.width);
  scan.channels = narrowed_size(o.channels);
  scan.spacing = narrowed_size(o.spacing);
  scan.chunk_steps = narrowed_size(o.chunk_steps);
  scan.storage =
      o.dtype == DType::kBF16 ? Storage::kBF16 : (o.dtype == DType::kF16 ? Storage::kF16 : Storage::kAsComputed);
  scan.reverse = o.reverse;
  std::fill_n(scan.batch_size, kMaxBatchDims, 1);
  std::copy(o.batch.begin(), o.batch.end(), scan.batch_size + kMaxBatchDims - o.batch.size());
  set_strides(o.k_batch, scan.k_stride);
  set_strides(o.x_batch, scan.x_stride);
  set_strides(o.h0_batch, scan.h0_stride);
  set_strides(o.reset_batch, scan.reset_stride);
  scan.k = o.k;
  scan.x = o.x;
  scan.h0 = o.h0;
  scan.reset = o.reset;
  return scan;
}

int64_t spectrum_size(const SpectralScan& scan) { return scan.height * spectrum_columns(scan.width) * scan.channels; }

template <class Params>
void launch_chunks(Kernel<Params> kernel, const Plan& plan, int64_t chunks, Params params, Stream stream) {
  const int64_t group = int64_t(1) << plan.group_log2, groups = (params.scan.channels + group - 1) / group;
  launch(kernel, narrowed_size(groups * params.scan.batch * chunks), plan.threads, plan.shared_bytes, stream, params);
}

template <class Params>
void launch_elements(Kernel<Params> kernel, int64_t elements, const Params& params, Stream stream) {
  launch(kernel, narrowed_size((elements + kSumThreads - 1) / kSumThreads), kSumThreads, 0, stream, params);
}

int longest_side(const SpectralScan& scan) { return std::max(scan.height, scan.width); }

template <class Real>
void run_forward(const SpectralOperands& o, const SpectralForward& out, Stream stream) {
  ForwardParams params{};
  params.scan = scan_of(o);
  params.last_only = out.last_only;
  params.y = out.y;
  params.final_state = out.final_state;
  params.checkpoints = out.checkpoints;
  params.carries = out.carries;
  const Plan plan = make_plan(params.scan, 2, false, sizeof(Complex<Real>), gpu_limits());
  params.scan.group_log2 = plan.group_log2;
  const Kernel<ForwardParams> kernel = forward_kernel<Real>(longest_side(params.scan));
  const int64_t chunks = o.chunks();
  if (chunks > 1) {
    ForwardParams first = params;
    first.carry_only = true;
    launch_chunks(kernel, plan, chunks - 1, first, stream);
    const ChainParams chain{params.scan, false, int32_t(chunks), nullptr, out.carries};
    launch_elements(chain_kernel<Real>(), spectrum_size(params.scan) * params.scan.batch, chain, stream);
    // Nothing is read off the earlier chunks.
    if (out.last_only && !out.checkpoints) params.first_chunk = int32_t(chunks - 1);
  }
  launch_chunks(kernel, plan, chunks - params.first_chunk, params, stream);
}

SumParams sum_of(const SpectralOperands& o, const SpectralScan& scan, const SpectralBackward& out) {
  SumParams sum{};
  sum.spectrum = spectrum_size(scan);
  sum.channels = scan.channels;
  sum.width = scan.width;
  sum.k_batch = narrowed_size(product(o.k_batch));
  sum.sharers = scan.batch / sum.k_batch;
  sum.chunks = narrowed_size(o.chunks());
  for (int d = 0; d < kMaxBatchDims; ++d) {
    const bool shared = scan.k_stride[d] == 0;
    sum.k_size[d] = shared ? 1 : scan.batch_size[d];
    sum.sharer_size[d] = shared ? scan.batch_size[d] : 1;
  }
  set_strides(o.batch, sum.stride);
  sum.scale = 1.0 / (double(kSpectrumScale) * kSpectrumScale * scan.height * scan.width);
  sum.parts = out.dk_parts;
  sum.dk = out.dk;
  return sum;
}

template <class Real>
void run_backward(const SpectralOperands& o, const SpectralBackward& out, Stream stream) {
  BackwardParams params{};
  params.scan = scan_of(o);
  params.last_only = out.last_only;
  params.checkpoints = out.checkpoints;
  params.ct = out.ct;
  params.ct_final = out.ct_final;
  params.dx = out.dx;
  params.dh0 = out.dh0;
  params.carries = out.carries;
  const Kernel<BackwardParams> kernel = backward_kernel<Real>(longest_side(params.scan));
  const int64_t chunks = o.chunks();
  if (chunks > 1) {
    const Plan plan = make_plan(params.scan, 2, false, sizeof(Complex<Real>), gpu_limits());
    BackwardParams first = params;
    first.scan.group_log2 = plan.group_log2;
    first.carry_only = true;
    first.first_chunk = 1;
    launch_chunks(kernel, plan, chunks - 1, first, stream);
    const ChainParams chain{params.scan, true, int32_t(chunks), out.ct_final, out.carries};
    launch_elements(chain_kernel<Real>(), spectrum_size(params.scan) * params.scan.batch, chain, stream);
  }
  const bool wants_dk = out.dk;
  const Plan plan = make_plan(params.scan, wants_dk ? 3 : 2, wants_dk, sizeof(Complex<Real>), gpu_limits());
  params.scan.group_log2 = plan.group_log2;
  params.kept = plan.kept;
  params.dk_parts = out.dk_parts;
  launch_chunks(kernel, plan, chunks, params, stream);
  if (wants_dk) {
    const SumParams sum = sum_of(o, params.scan, out);
    launch_elements(sum_kernel<Real>(), sum.spectrum * sum.k_batch, sum, stream);
  }
}

}  // namespace

void spectral_scan_forward(const SpectralOperands& o, const SpectralForward& out, Stream stream) {
  o.dtype == DType::kF64 ? run_forward<double>(o, out, stream) : run_forward<float>(o, out, stream);
}

void spectral_scan_backward(const SpectralOperands& o, const SpectralBackward& out, Stream stream) {
  o.dtype == DType::kF64 ? run_backward<double>(o, out, stream) : run_backward<float>(o, out, stream);
}

}  // namespace cssm::cuda
