// XLA FFI handlers of the layer norm: forward (x, scale?, bias?) -> y; backward (x, scale?, ct) -> (dx?, dscale?,
// dbias?). x, y, ct and dx are (rows..., channels); scale, bias and their gradients hold `channels` numbers.
#include "cpu/ffi.h"
#include "cpu/layer_norm.h"

namespace cssm {
namespace {

NormProblem problem(const Buffer& x, double eps, int64_t activation) {
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < x.dims.size(); ++d) rows *= x.dims[d];
  return {x.dtype(), rows, x.dims.back(), eps, Activation(activation)};
}

ffi::Error forward(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, double eps,
                   int64_t activation, bool has_scale, bool has_bias) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    const Buffer x = args.next(), y = rets.next();
    if (y.empty()) return;
    const char* const scale = has_scale ? args.next().data : nullptr;
    const char* const bias = has_bias ? args.next().data : nullptr;
    XlaThreadPool pool(xla_pool);
    layer_norm_forward(problem(x, eps, activation), x.data, scale, bias, y.out(), native_kernels().norm, pool);
  });
}

ffi::Error backward(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, double eps,
                    int64_t activation, bool has_scale, bool wants_x, bool wants_scale, bool wants_bias) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    const Buffer x = args.next();
    const char* const scale = has_scale ? args.next().data : nullptr;
    const char* const ct = args.next().data;
    if (x.empty()) return rets.zero_all();
    char* const dx = wants_x ? rets.next().out() : nullptr;
    char* const dscale = wants_scale ? rets.next().out() : nullptr;
    char* const dbias = wants_bias ? rets.next().out() : nullptr;
    XlaThreadPool pool(xla_pool);
    layer_norm_backward(problem(x, eps, activation), x.data, scale, ct, dx, dscale, dbias, native_kernels().norm, pool);
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(layer_norm_forward_cpu, forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<double>("eps")
                                  .Attr<int64_t>("activation")
                                  .Attr<bool>("has_scale")
                                  .Attr<bool>("has_bias"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(layer_norm_backward_cpu, backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<double>("eps")
                                  .Attr<int64_t>("activation")
                                  .Attr<bool>("has_scale")
                                  .Attr<bool>("wants_x")
                                  .Attr<bool>("wants_scale")
                                  .Attr<bool>("wants_bias"));

}  // namespace cssm
