// XLA FFI handlers of projected_scan. Present operands, in order: forward (k, x, w, bias?, h0?, reset?) -> (y, final?,
// checkpoints?); backward (k, x, w, h0?, reset?, ct, ct_final?, checkpoints) -> (dx, dk, dw, dbias?, dh0?). w is (...,
// channels, width), of one matrix.
#include "cpu/spectral_ffi.h"

namespace cssm {
namespace {

ffi::Error forward(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, int64_t spacing,
                   bool reverse, bool filters, bool minus_x, bool has_bias, bool has_h0, bool has_reset,
                   bool returns_final, bool saves) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    const Buffer y = rets.next();
    SpectralForward out{false, y.out(), nullptr, nullptr};
    if (returns_final) out.final_state = rets.next().out();
    if (saves) {
      const Buffer checkpoints = rets.next();
      if (!checkpoints.empty()) out.checkpoints = checkpoints.out();
    }
    const Buffer k = args.next(), x = args.next(), w = args.next();
    const SpectralProjection projection{from_end(y, 1), minus_x, w.data, has_bias ? args.next().data : nullptr,
                                        native_kernels().dense};
    SpectralProblem p = problem(y, k, from_end(x, 4), spacing, reverse);
    p.channels = from_end(x, 1);
    p.x = x.data;
    p.x_batch = batch_of(x);
    p.projection = &projection;
    p.filters = filters;
    read_state_operands(args, has_h0, has_reset, p);
    XlaThreadPool pool(xla_pool);
    spectral_scan_forward(p, out, native_kernels().spectral, pool);
  });
}

ffi::Error backward(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, int64_t spacing,
                    bool reverse, bool filters, bool minus_x, bool has_bias, bool has_h0, bool has_reset,
                    bool has_ct_final) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    const Buffer dx = rets.next();
    SpectralBackward out{};
    out.dx = dx.out();
    out.dk = rets.next().out();
    out.dw = rets.next().out();
    if (has_bias) out.dbias = rets.next().out();
    if (has_h0) out.dh0 = rets.next().out();
    const Buffer k = args.next(), x = args.next(), w = args.next();
    SpectralProblem p = problem(dx, k, from_end(x, 4), spacing, reverse);
    p.x = x.data;
    p.x_batch = batch_of(x);
    read_state_operands(args, has_h0, has_reset, p);
    const Buffer ct = args.next();
    out.ct = ct.data;
    if (has_ct_final) out.ct_final = args.next().data;
    out.checkpoints = args.next().data;
    XlaThreadPool pool(xla_pool);
    const SpectralProjection projection{from_end(ct, 1), minus_x, w.data, nullptr, native_kernels().dense};
    p.projection = &projection;
    p.filters = filters;
    spectral_scan_backward(p, out, native_kernels().spectral, pool);
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(projected_scan_forward_cpu, forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("spacing")
                                  .Attr<bool>("reverse")
                                  .Attr<bool>("filters")
                                  .Attr<bool>("minus_x")
                                  .Attr<bool>("has_bias")
                                  .Attr<bool>("has_h0")
                                  .Attr<bool>("has_reset")
                                  .Attr<bool>("returns_final")
                                  .Attr<bool>("saves"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(projected_scan_backward_cpu, backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("spacing")
                                  .Attr<bool>("reverse")
                                  .Attr<bool>("filters")
                                  .Attr<bool>("minus_x")
                                  .Attr<bool>("has_bias")
                                  .Attr<bool>("has_h0")
                                  .Attr<bool>("has_reset")
                                  .Attr<bool>("has_ct_final"));

}  // namespace cssm
