// XLA FFI handlers of spectral_scan and of the transforms alone. Present operands, in order: forward (k, x, h0?,
// reset?) -> (y, final?, checkpoints?); backward (k, x?, h0?, reset?, checkpoints?, ct?, ct_final?) -> (dk?, dx, dh0?),
// x, checkpoints and dk together. All of one rank: (batch..., time, height, width, channels).
#include "cpu/fft2.h"
#include "cpu/spectral_ffi.h"

namespace cssm {
namespace {

ffi::Error forward(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, int64_t steps,
                   int64_t spacing, bool reverse, bool last_only, bool has_h0, bool has_reset, bool saves,
                   bool returns_final) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    const Buffer y = rets.next();
    SpectralForward out{last_only, y.out(), nullptr, nullptr};
    if (returns_final) out.final_state = rets.next().out();
    if (saves) out.checkpoints = rets.next().out();
    if (y.empty()) return;
    const Buffer k = args.next();
    SpectralProblem p = problem(y, k, steps, spacing, reverse);
    read_x(args, p);
    read_state_operands(args, has_h0, has_reset, p);
    XlaThreadPool pool(xla_pool);
    spectral_scan_forward(p, out, native_kernels().spectral, pool);
  });
}

ffi::Error backward(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets, int64_t steps,
                    int64_t spacing, bool reverse, bool last_only, bool has_h0, bool has_reset, bool has_ct,
                    bool has_ct_final, bool wants_dk, bool wants_dh0) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    SpectralBackward out{};
    out.last_only = last_only;
    if (wants_dk) out.dk = rets.next().out();
    const Buffer dx = rets.next();
    out.dx = dx.out();
    if (wants_dh0) out.dh0 = rets.next().out();
    if (dx.empty()) return rets.zero_all();
    const Buffer k = args.next();
    SpectralProblem p = problem(dx, k, steps, spacing, reverse);
    if (wants_dk) read_x(args, p);
    read_state_operands(args, has_h0, has_reset, p);
    if (wants_dk) out.checkpoints = args.next().data;
    if (has_ct) out.ct = args.next().data;
    if (has_ct_final) out.ct_final = args.next().data;
    XlaThreadPool pool(xla_pool);
    spectral_scan_backward(p, out, native_kernels().spectral, pool);
  });
}

Fft2Problem transform_problem(const Buffer& frames) {
  Fft2Problem p{frames.dtype(), 1, from_end(frames, 3), from_end(frames, 2), from_end(frames, 1)};
  for (size_t d = 0; d + 3 < frames.dims.size(); ++d) p.count *= frames.dims[d];
  return p;
}

using Transform = void(const Fft2Problem&, const char*, char*, const SpectralKernels&, ThreadPool&);

template <Transform* kTransform, bool kToFrames>
ffi::Error transform(ffi::ThreadPool xla_pool, ffi::RemainingArgs xla_args, ffi::RemainingRets xla_rets) {
  return guarded([&] {
    Operands args(xla_args);
    Results rets(xla_rets);
    const Buffer from = args.next(), to = rets.next();
    if (to.empty()) return;
    XlaThreadPool pool(xla_pool);
    kTransform(transform_problem(kToFrames ? to : from), from.data, to.out(), native_kernels().spectral, pool);
  });
}

constexpr auto rfft2_handler = transform<rfft2, false>;
constexpr auto irfft2_handler = transform<irfft2, true>;

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(spectral_scan_forward_cpu, forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("steps")
                                  .Attr<int64_t>("spacing")
                                  .Attr<bool>("reverse")
                                  .Attr<bool>("last_only")
                                  .Attr<bool>("has_h0")
                                  .Attr<bool>("has_reset")
                                  .Attr<bool>("saves")
                                  .Attr<bool>("returns_final"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(spectral_scan_backward_cpu, backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("steps")
                                  .Attr<int64_t>("spacing")
                                  .Attr<bool>("reverse")
                                  .Attr<bool>("last_only")
                                  .Attr<bool>("has_h0")
                                  .Attr<bool>("has_reset")
                                  .Attr<bool>("has_ct")
                                  .Attr<bool>("has_ct_final")
                                  .Attr<bool>("wants_dk")
                                  .Attr<bool>("wants_dh0"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(rfft2_cpu, rfft2_handler,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(irfft2_cpu, irfft2_handler,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets());

}  // namespace cssm
