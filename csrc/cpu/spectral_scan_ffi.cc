// XLA FFI handlers of spectral_scan and of the transforms alone. Present operands, in order: forward (k, x, h0?,
// reset?) -> (y, final?, checkpoints?); backward (k, x?, h0?, reset?, checkpoints?, ct?, ct_final?) -> (dk?, dx, dh0?),
// x, checkpoints and dk together. All of one rank: (batch..., time, height, width, channels).
#include "cpu/ffi.h"
#include "cpu/fft2.h"
#include "cpu/spectral_scan.h"

namespace cssm {
namespace {

constexpr size_t kFrameDims = 4;  // after the batch: time, height, width, channels

Dims batch_of(const Buffer& buffer) { return Dims(buffer.dims.begin(), buffer.dims.end() - kFrameDims); }

int64_t from_end(const Buffer& buffer, size_t i) { return buffer.dims[buffer.dims.size() - i]; }

// `frames` has the full batch and all of height, width and channels.
SpectralProblem problem(const Buffer& frames, const Buffer& k, int64_t steps, int64_t spacing, bool reverse) {
  SpectralProblem p{};
  p.dtype = frames.dtype();
  p.batch = batch_of(frames);
  p.steps = steps;
  p.height = from_end(frames, 3);
  p.width = from_end(frames, 2);
  p.channels = from_end(frames, 1);
  p.reverse = reverse;
  p.spacing = spacing;
  p.k = k.data;
  p.k_batch = batch_of(k);
  p.h0_batch = p.reset_batch = p.x_batch = Dims(p.batch.size(), 1);
  return p;
}

void read_x(Operands& args, SpectralProblem& p) {
  const Buffer x = args.next();
  p.x = x.data;
  p.x_batch = batch_of(x);
}

void read_state_operands(Operands& args, bool has_h0, bool has_reset, SpectralProblem& p) {
  if (has_h0) {
    const Buffer h0 = args.next();
    p.h0 = h0.data;
    p.h0_batch = batch_of(h0);
  }
  if (has_reset) {
    const Buffer reset = args.next();
    p.reset = reinterpret_cast<const uint8_t*>(reset.data);
    p.reset_batch = batch_of(reset);
  }
}

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
