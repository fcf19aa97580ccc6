// XLA FFI handlers of dense: forward (x, w, bias?, minus?) -> y; backward (x?, w?, ct) -> (dx?, dw?, dbias?), x with dw
// and w with dx. x, minus, y and ct are (rows..., channels), w (..., depth, width).
#include "cpu/dense.h"
#include "cpu/ffi.h"

namespace cssm {
namespace {

// Of ct or y, and the depth.
DenseProblem problem(const Buffer& y, int64_t depth) {
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < y.dims.size(); ++d) rows *= y.dims[d];
  return {y.dtype(), rows, depth, y.dims.back()};
}

ffi::Error forward(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, bool has_bias,
                   bool has_minus) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    const Buffer x = args.next(), w = args.next(), y = rets.next();
    const char* const bias = has_bias ? args.next().data : nullptr;
    const char* const minus = has_minus ? args.next().data : nullptr;
    XlaThreadPool pool(xla_pool);
    dense_forward(problem(y, x.dims.back()), x.data, w.data, bias, minus, y.out(), native_kernels().dense, pool);
  });
}

ffi::Error backward(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, int64_t depth,
                    bool wants_x, bool wants_w, bool wants_bias) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    const char* const x = wants_w ? args.next().data : nullptr;
    const char* const w = wants_x ? args.next().data : nullptr;
    const Buffer ct = args.next();
    char* const dx = wants_x ? rets.next().out() : nullptr;
    char* const dw = wants_w ? rets.next().out() : nullptr;
    char* const dbias = wants_bias ? rets.next().out() : nullptr;
    XlaThreadPool pool(xla_pool);
    dense_backward(problem(ct, depth), x, w, ct.data, dx, dw, dbias, native_kernels().dense, pool);
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(dense_forward_cpu, forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<bool>("has_bias")
                                  .Attr<bool>("has_minus"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(dense_backward_cpu, backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("depth")
                                  .Attr<bool>("wants_x")
                                  .Attr<bool>("wants_w")
                                  .Attr<bool>("wants_bias"));

}  // namespace cssm
