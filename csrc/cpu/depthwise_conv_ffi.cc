// XLA FFI handlers of the depthwise convolution: convolve (x, kernel, bias?) -> y; correlate (x, g) -> (dkernel,
// dbias?). All of one rank: (batch..., time, height, width, channels), kernels (batch..., window..., channels), biases
// (batch..., 1, 1, 1, channels).
#include <algorithm>

#include "cpu/depthwise_conv.h"
#include "cpu/ffi.h"

namespace cssm {
namespace {

using Offset = ffi::Span<const int64_t>;

constexpr size_t kFrameDims = 4;  // after the batch: time, height, width, channels

Dims batch_of(const Buffer& buffer) { return Dims(buffer.dims.begin(), buffer.dims.end() - kFrameDims); }

Frame frame_of(const Buffer& buffer) {
  Frame frame;
  std::copy_n(buffer.dims.end() - kFrameDims, frame.size(), frame.begin());
  return frame;
}

DepthwiseProblem problem(const Buffer& x, const Buffer& kernel, const Buffer& out, Offset offset) {
  DepthwiseProblem p{};
  p.dtype = x.dtype();
  p.channels = x.dims.back();
  p.in = frame_of(x);
  p.out = frame_of(out);
  p.window = frame_of(kernel);
  std::copy_n(offset.begin(), p.offset.size(), p.offset.begin());
  p.x_batch = batch_of(x);
  p.out_batch = batch_of(out);
  p.kernel_batch = p.bias_batch = batch_of(kernel);
  return p;
}

ffi::Error convolve(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, Offset offset,
                    bool has_bias) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    const Buffer x = args.next(), kernel = args.next(), y = rets.next();
    if (y.empty()) return;
    DepthwiseProblem p = problem(x, kernel, y, offset);
    const char* bias = nullptr;
    if (has_bias) {
      const Buffer given = args.next();
      bias = given.data;
      p.bias_batch = batch_of(given);
    }
    XlaThreadPool pool(xla_pool);
    depthwise_convolve(p, x.data, kernel.data, bias, y.out(), native_kernels().depthwise, pool);
  });
}

ffi::Error correlate(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, Offset offset,
                     bool has_bias) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    const Buffer x = args.next(), g = args.next(), dkernel = rets.next();
    char* const dbias = has_bias ? rets.next().out() : nullptr;
    if (dkernel.empty()) return rets.zero_all();
    XlaThreadPool pool(xla_pool);
    depthwise_correlate(problem(x, dkernel, g, offset), x.data, g.data, dkernel.out(), dbias,
                        native_kernels().depthwise, pool);
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    depthwise_convolve_cpu, convolve,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets().Attr<Offset>("offset").Attr<bool>(
        "has_bias"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(
    depthwise_correlate_cpu, correlate,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets().Attr<Offset>("offset").Attr<bool>(
        "has_bias"));

}  // namespace cssm
