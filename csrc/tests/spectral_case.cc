#include "spectral_case.h"

#include <cstring>
#include <utility>

namespace cssm::testing {

SpectralProblem spectral_problem(const SpectralCase& c, const SpectralInputs& in) {
  SpectralProblem p{};
  p.dtype = c.dtype;
  p.batch = c.batch;
  p.steps = c.steps;
  p.height = c.height;
  p.width = c.width;
  p.channels = c.channels;
  p.reverse = c.reverse;
  p.k = in.k.bytes();
  p.k_batch = c.k;
  p.reset = in.reset.get();
  p.reset_batch = c.reset;
  p.h0 = in.h0.bytes();
  p.h0_batch = c.h0;
  p.x = in.x.bytes();
  p.x_batch = c.x;
  p.spacing = c.spacing;
  return p;
}

DType spectrum_dtype(DType frames) { return frames == DType::kF64 ? DType::kC128 : DType::kC64; }

Array poisoned(DType dtype, const Dims& dims) {
  Array array(dtype, dims);
  std::memset(array.bytes(), 0xff, array.num_bytes());
  return array;
}

Array random_exact(DType dtype, const Dims& dims, Random& random) {
  const auto number = [&] { return double(random.below(257) - 128) / 128; };
  Array array(dtype, dims);
  for (int64_t i = 0; i < array.size(); ++i) {
    const double re = number();
    array.set(i, {re, is_complex(dtype) ? number() : 0});
  }
  return array;
}

std::string SpectralCase::describe() const {
  std::string out = std::string(dtype_name(dtype)) + to_string(frames(batch));
  if (reverse) out += " reverse";
  out += " x" + to_string(x) + " k" + to_string(k);
  if (has_reset) out += " reset" + to_string(reset);
  if (has_h0) out += " h0" + to_string(h0);
  for (const auto& [given, name] :
       {std::pair(last_only, " last_only"), std::pair(saves, " saves"), std::pair(returns_final, " final"),
        std::pair(has_ct, " ct"), std::pair(has_ct_final, " ct_final"), std::pair(wants_dk, " dk"),
        std::pair(wants_dh0, " dh0")}) {
    if (given) out += name;
  }
  return out + " spacing " + std::to_string(spacing);
}

SpectralCase spectral_case(const Dims& batch, int64_t steps, int64_t height, int64_t width, int64_t channels) {
  SpectralCase c;
  c.batch = c.x = c.k = c.h0 = c.reset = batch;
  c.steps = steps;
  c.height = height;
  c.width = width;
  c.channels = channels;
  return c;
}

SpectralInputs random_inputs(const SpectralCase& c, Random& random) {
  SpectralInputs in;
  const DType spectrum = spectrum_dtype(c.dtype);
  in.x = random_exact(c.dtype, c.frames(c.x), random);
  in.k = random_exact(spectrum, c.spectrum(c.k), random);
  if (c.has_h0) in.h0 = random_exact(spectrum, c.spectrum(c.h0), random);
  if (c.has_ct) in.ct = random_exact(c.dtype, c.last_only ? c.frame(c.batch) : c.frames(c.batch), random);
  if (c.has_ct_final) in.ct_final = random_exact(spectrum, c.spectrum(c.batch), random);
  if (c.has_reset) {
    const int64_t flags = product(c.reset) * c.steps;
    in.reset.reset(new uint8_t[size_t(flags)]);
    for (int64_t i = 0; i < flags; ++i) in.reset[size_t(i)] = random.chance(0.2);
  }
  return in;
}

SpectralForwardResult run_forward(const SpectralCase& c, const SpectralInputs& in, const SpectralKernels& kernels,
                                  ThreadPool& pool) {
  const DType spectrum = spectrum_dtype(c.dtype);
  SpectralForwardResult out;
  out.y = poisoned(c.dtype, c.last_only ? c.frame(c.batch) : c.frames(c.batch));
  if (c.returns_final) out.final_state = poisoned(spectrum, c.spectrum(c.batch));
  if (c.saves) out.checkpoints = poisoned(spectrum, c.spectra(c.batch, c.checkpoints()));
  spectral_scan_forward(spectral_problem(c, in),
                        {c.last_only, out.y.bytes(), out.final_state.bytes(), out.checkpoints.bytes()}, kernels, pool);
  return out;
}

SpectralBackwardResult run_backward(const SpectralCase& c, const SpectralInputs& in, const Array& checkpoints,
                                    const SpectralKernels& kernels, ThreadPool& pool) {
  const DType spectrum = spectrum_dtype(c.dtype);
  SpectralBackwardResult out;
  out.dx = poisoned(c.dtype, c.frames(c.batch));
  if (c.wants_dk) out.dk = poisoned(spectrum, c.spectrum(c.k));
  if (c.wants_dh0) out.dh0 = poisoned(spectrum, c.spectrum(c.batch));
  SpectralProblem p = spectral_problem(c, in);
  SpectralBackward b{};
  b.last_only = c.last_only;
  b.ct = in.ct.bytes();
  b.ct_final = in.ct_final.bytes();
  b.dx = out.dx.bytes();
  b.dk = out.dk.bytes();
  b.dh0 = out.dh0.bytes();
  if (c.wants_dk) {
    b.checkpoints = checkpoints.bytes();
  } else {
    p.x = p.h0 = nullptr;  // not to be read
  }
  spectral_scan_backward(p, b, kernels, pool);
  return out;
}

}  // namespace cssm::testing
