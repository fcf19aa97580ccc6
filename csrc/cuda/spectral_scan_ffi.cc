// XLA FFI handlers of spectral_scan. Present operands, in order: forward (k, x, h0?, reset?) -> (y, final?,
// checkpoints?, carries?, passes?); backward (k, x?, h0?, reset?, checkpoints?, ct?, ct_final?) -> (dk?, dx, dh0?,
// dk_parts?, carries?, passes?), x, checkpoints and dk together. carries, passes and dk_parts are scratch, given as
// results so that XLA plans them with the rest of the program's memory and may record the call in a graph. All but them
// are of one rank: (batch..., time, height, width, channels).
#include "cuda/ffi.h"
#include "cuda/spectral_scan.h"

namespace cssm::cuda {
namespace {

constexpr size_t kFrameDims = 4;  // after the batch: time, height, width, channels

Dims batch_of(const Buffer& buffer) { return Dims(buffer.dims.begin(), buffer.dims.end() - kFrameDims); }

// `frames` has the full batch and all of height, width and channels.
SpectralOperands operands(const Buffer& frames, const Buffer& k, int64_t steps, int64_t spacing, int64_t chunk_steps,
                          bool reverse) {
  SpectralOperands o{};
  o.dtype = frames.frame_dtype();
  o.batch = batch_of(frames);
  o.steps = steps;
  o.height = frames.from_end(3);
  o.width = frames.from_end(2);
  o.channels = frames.from_end(1);
  o.spacing = spacing;
  o.chunk_steps = chunk_steps;
  o.reverse = reverse;
  o.k = k.data;
  o.k_batch = batch_of(k);
  return o;
}

void read_x(Call& call, SpectralOperands& o) {
  const Buffer x = call.operand();
  o.x = x.data;
  o.x_batch = batch_of(x);
}

void read_state_operands(Call& call, bool has_h0, bool has_reset, SpectralOperands& o) {
  if (has_h0) {
    const Buffer h0 = call.operand();
    o.h0 = h0.data;
    o.h0_batch = batch_of(h0);
  }
  if (has_reset) {
    const Buffer reset = call.operand();
    o.reset = static_cast<const uint8_t*>(reset.data);
    o.reset_batch = batch_of(reset);
  }
}

Carries carries(Call& call, const SpectralOperands& o) {
  if (o.chunks() == 1) return {};
  void* const states = call.result().data;
  return {states, static_cast<uint8_t*>(call.result().data)};
}

ffi::Error forward(Stream stream, ffi::RemainingArgs args, ffi::RemainingRets rets, int64_t steps, int64_t spacing,
                   int64_t chunk_steps, bool reverse, bool last_only, bool has_h0, bool has_reset, bool saves,
                   bool returns_final) {
  return guarded("cssm.spectral_scan.forward", [&] {
    Call call(stream, args, rets);
    const Buffer y = call.result();
    SpectralForward out{};
    out.last_only = last_only;
    out.y = y.data;
    if (returns_final) out.final_state = call.result().data;
    if (saves) out.checkpoints = call.result().data;
    if (y.bytes == 0) return;
    SpectralOperands o = operands(y, call.operand(), steps, spacing, chunk_steps, reverse);
    read_x(call, o);
    read_state_operands(call, has_h0, has_reset, o);
    out.carries = carries(call, o);
    spectral_scan_forward(o, out, call.stream);
  });
}

ffi::Error backward(Stream stream, ffi::RemainingArgs args, ffi::RemainingRets rets, int64_t steps, int64_t spacing,
                    int64_t chunk_steps, bool reverse, bool last_only, bool has_h0, bool has_reset, bool has_ct,
                    bool has_ct_final, bool wants_dk, bool wants_dh0) {
  return guarded("cssm.spectral_scan.backward", [&] {
    Call call(stream, args, rets);
    SpectralBackward out{};
    out.last_only = last_only;
    if (wants_dk) out.dk = call.result().data;
    const Buffer dx = call.result();
    out.dx = dx.data;
    if (wants_dh0) out.dh0 = call.result().data;
    if (dx.bytes == 0) return call.zero_results();
    SpectralOperands o = operands(dx, call.operand(), steps, spacing, chunk_steps, reverse);
    if (wants_dk) read_x(call, o);
    read_state_operands(call, has_h0, has_reset, o);
    if (wants_dk) out.checkpoints = call.operand().data;
    if (has_ct) out.ct = call.operand().data;
    if (has_ct_final) out.ct_final = call.operand().data;
    if (wants_dk) out.dk_parts = call.result().data;
    out.carries = carries(call, o);
    spectral_scan_backward(o, out, call.stream);
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(cssm_cuda_spectral_scan_forward, forward,
                              ffi::Ffi::Bind()
                                  .Ctx<StreamContext>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("steps")
                                  .Attr<int64_t>("spacing")
                                  .Attr<int64_t>("chunk_steps")
                                  .Attr<bool>("reverse")
                                  .Attr<bool>("last_only")
                                  .Attr<bool>("has_h0")
                                  .Attr<bool>("has_reset")
                                  .Attr<bool>("saves")
                                  .Attr<bool>("returns_final"),
                              {ffi::Traits::kCmdBufferCompatible});

XLA_FFI_DEFINE_HANDLER_SYMBOL(cssm_cuda_spectral_scan_backward, backward,
                              ffi::Ffi::Bind()
                                  .Ctx<StreamContext>()
                                  .RemainingArgs()
                                  .RemainingRets()
                                  .Attr<int64_t>("steps")
                                  .Attr<int64_t>("spacing")
                                  .Attr<int64_t>("chunk_steps")
                                  .Attr<bool>("reverse")
                                  .Attr<bool>("last_only")
                                  .Attr<bool>("has_h0")
                                  .Attr<bool>("has_reset")
                                  .Attr<bool>("has_ct")
                                  .Attr<bool>("has_ct_final")
                                  .Attr<bool>("wants_dk")
                                  .Attr<bool>("wants_dh0"),
                              {ffi::Traits::kCmdBufferCompatible});

}  // namespace cssm::cuda
