// XLA FFI handlers of linear_scan. Present operands, in order: forward (a, x, h0?, reset?) -> (h, final);
// backward (a, h?, h0?, reset?, ct?, ct_final?) -> (da?, dx, dh0?), h and da together.
#include "cpu/ffi.h"
#include "cpu/linear_scan.h"

namespace cssm {
namespace {

LinearScanProblem problem(Operands& args, DType dtype, const Dims& shape, int64_t axis, bool reverse) {
  LinearScanProblem p{};
  p.dtype = dtype;
  p.shape = shape;
  p.axis = axis;
  p.reverse = reverse;
  p.a_dims = p.reset_dims = p.h0_dims = Dims(shape.size(), 1);
  const Buffer a = args.next();
  p.a = a.data;
  p.a_dims = a.dims;
  return p;
}

void read_state_operands(Operands& args, bool has_h0, bool has_reset, LinearScanProblem& p) {
  if (has_h0) {
    const Buffer h0 = args.next();
    p.h0 = h0.data;
    p.h0_dims = h0.dims;
  }
  if (has_reset) {
    const Buffer reset = args.next();
    p.reset = reinterpret_cast<const uint8_t*>(reset.data);
    p.reset_dims = reset.dims;
  }
}

ffi::Error forward(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, int64_t axis,
                   bool reverse, bool has_h0, bool has_reset) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    const Buffer h = rets.next(), final_state = rets.next();
    if (h.empty()) return;
    LinearScanProblem p = problem(args, h.dtype(), h.dims, axis, reverse);
    const Buffer x = args.next();
    read_state_operands(args, has_h0, has_reset, p);
    XlaThreadPool pool(xla_pool);
    linear_scan_forward(p, {x.data, x.dims, h.out(), final_state.out()}, native_kernels().linear_scan, pool);
  });
}

ffi::Error backward(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, int64_t axis,
                    bool reverse, bool has_h0, bool has_reset, bool has_ct, bool has_ct_final, bool wants_da,
                    bool wants_dh0) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    LinearScanBackward b{};
    if (wants_da) b.da = rets.next().out();
    const Buffer dx = rets.next();
    b.dx = dx.out();
    if (wants_dh0) b.dh0 = rets.next().out();
    if (dx.empty()) return rets.zero_all();
    LinearScanProblem p = problem(args, dx.dtype(), dx.dims, axis, reverse);
    if (wants_da) b.h = args.next().data;
    read_state_operands(args, has_h0, has_reset, p);
    if (has_ct) b.ct = args.next().data;
    if (has_ct_final) b.ct_final = args.next().data;
    XlaThreadPool pool(xla_pool);
    linear_scan_backward(p, b, native_kernels().linear_scan, pool);
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(linear_scan_forward_cpu, forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("axis")
                                  .Attr<bool>("reverse")
                                  .Attr<bool>("has_h0")
                                  .Attr<bool>("has_reset"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(linear_scan_backward_cpu, backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("axis")
                                  .Attr<bool>("reverse")
                                  .Attr<bool>("has_h0")
                                  .Attr<bool>("has_reset")
                                  .Attr<bool>("has_ct")
                                  .Attr<bool>("has_ct_final")
                                  .Attr<bool>("wants_da")
                                  .Attr<bool>("wants_dh0"));

}  // namespace cssm
