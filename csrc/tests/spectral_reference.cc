#include "spectral_reference.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "check.h"

namespace cssm::testing {
namespace {

using Complex = std::complex<double>;

Complexes roots(int64_t n) {
  Complexes out(size_t(n), 0);
  for (int64_t j = 0; j < n; ++j) out[size_t(j)] = std::polar(1.0, -2 * M_PI * double(j) / double(n));
  return out;
}

// Without the library's care for infinities, which makes it a call.
Complex times(Complex a, Complex b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

// sum += factor * x
void add_multiple(Complex factor, const Complex* x, int64_t n, Complex* sum) {
  for (int64_t i = 0; i < n; ++i) sum[i] += times(factor, x[i]);
}

double relative_error(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kC64: return 1e-6;
    case DType::kF64:
    case DType::kC128: return 1e-13;
    case DType::kBF16: return 0x1p-8;
    case DType::kF16: return 0x1p-10;
  }
  return 0;
}

// Calls body(index of a batch element, its number).
template <class Body>
void for_each_batch(const SpectralCase& c, Body&& body) {
  Dims index(c.batch.size(), 0);
  int64_t number = 0;
  do {
    body(index, number++);
  } while (advance(index, c.batch));
}

bool is_reset(const SpectralCase& c, const SpectralInputs& in, const Dims& index, int64_t step) {
  return c.has_reset && in.reset[size_t(position(c.reset, index) * c.steps + c.time(step))];
}

}  // namespace

NaiveFft2::NaiveFft2(int64_t height, int64_t width, int64_t channels)
    : height_(height),
      width_(width),
      columns_(width / 2 + 1),
      channels_(channels),
      height_roots_(roots(height)),
      width_roots_(roots(width)) {}

double NaiveFft2::weight(int64_t column) const { return (is_edge(column) ? 1.0 : 2.0) / double(height_ * width_); }

Complexes NaiveFft2::forward(const Complex* frame) const {
  const int64_t row = columns_ * channels_;
  Complexes rows(size_t(spectrum_size()), 0), out(size_t(spectrum_size()), 0);
  for (int64_t y = 0; y < height_; ++y) {
    for (int64_t f = 0; f < columns_; ++f) {
      Complex* const sum = &rows[size_t(y * row + f * channels_)];
      for (int64_t w = 0; w < width_; ++w) {
        const Complex root = width_roots_[size_t(f * w % width_)];
        const Complex* const pixel = frame + (y * width_ + w) * channels_;
        for (int64_t c = 0; c < channels_; ++c) sum[c] += root * pixel[c].real();
      }
    }
  }
  for (int64_t k = 0; k < height_; ++k) {
    for (int64_t y = 0; y < height_; ++y) {
      add_multiple(height_roots_[size_t(k * y % height_)], &rows[size_t(y * row)], row, &out[size_t(k * row)]);
    }
  }
  return out;
}

Complexes NaiveFft2::inverse(const Complex* spectrum) const {
  const int64_t row = columns_ * channels_;
  Complexes rows(size_t(spectrum_size()), 0), out(size_t(frame_size()), 0);
  for (int64_t y = 0; y < height_; ++y) {
    for (int64_t k = 0; k < height_; ++k) {
      add_multiple(std::conj(height_roots_[size_t(k * y % height_)]), spectrum + k * row, row, &rows[size_t(y * row)]);
    }
  }
  for (int64_t y = 0; y < height_; ++y) {
    for (int64_t w = 0; w < width_; ++w) {
      Complex* const pixel = &out[size_t((y * width_ + w) * channels_)];
      for (int64_t f = 0; f < columns_; ++f) {
        const Complex root = weight(f) * std::conj(width_roots_[size_t(f * w % width_)]);
        const double re = root.real(), im = is_edge(f) ? 0 : root.imag();
        const Complex* const value = &rows[size_t(y * row + f * channels_)];
        for (int64_t c = 0; c < channels_; ++c) pixel[c] += re * value[c].real() - im * value[c].imag();
      }
    }
  }
  return out;
}

Complexes values(const Array& array) {
  if (!array.bytes()) return {};
  Complexes out(size_t(array.size()), 0);
  for (int64_t i = 0; i < array.size(); ++i) out[size_t(i)] = array[i];
  return out;
}

SpectralForwardReference forward_reference(const SpectralCase& c, const SpectralInputs& in) {
  const NaiveFft2 fft2(c.height, c.width, c.channels);
  const int64_t frame = fft2.frame_size(), size = fft2.spectrum_size();
  const Complexes x = values(in.x), k = values(in.k), h0 = values(in.h0);
  SpectralForwardReference out;
  out.y.resize(size_t(product(c.batch) * (c.last_only ? 1 : c.steps) * frame));
  for_each_batch(c, [&](const Dims& index, int64_t batch) {
    Complexes state(size_t(size), 0);
    if (c.has_h0) std::copy_n(&h0[size_t(position(c.h0, index) * size)], size, state.begin());
    for (int64_t step = 0; step < c.steps; ++step) {
      out.before.insert(out.before.end(), state.begin(), state.end());
      if (step > 0 && step % c.spacing == 0) out.checkpoints.insert(out.checkpoints.end(), state.begin(), state.end());
      Complexes next = fft2.forward(&x[size_t((position(c.x, index) * c.steps + c.time(step)) * frame)]);
      if (!is_reset(c, in, index, step)) {
        const Complex* const factor = &k[size_t(position(c.k, index) * size)];
        for (int64_t i = 0; i < size; ++i) next[size_t(i)] += times(factor[i], state[size_t(i)]);
      }
      state = std::move(next);
      if (c.last_only && step != c.steps - 1) continue;
      const Complexes y = fft2.inverse(state.data());
      std::copy(y.begin(), y.end(), &out.y[size_t((c.last_only ? batch : batch * c.steps + c.time(step)) * frame)]);
    }
    out.final_state.insert(out.final_state.end(), state.begin(), state.end());
  });
  return out;
}

SpectralBackwardReference backward_reference(const SpectralCase& c, const SpectralInputs& in,
                                             const SpectralForwardReference& forward) {
  const NaiveFft2 fft2(c.height, c.width, c.channels);
  const int64_t frame = fft2.frame_size(), size = fft2.spectrum_size();
  const Complexes k = values(in.k), ct = values(in.ct), ct_final = values(in.ct_final);
  std::vector<double> weights;
  for (int64_t i = 0; i < size; ++i) weights.push_back(fft2.weight(i / c.channels % (c.width / 2 + 1)));
  SpectralBackwardReference out;
  out.dx.resize(size_t(product(c.batch) * c.steps * frame));
  out.dk.resize(k.size());
  for_each_batch(c, [&](const Dims& index, int64_t batch) {
    const Complex* const factor = &k[size_t(position(c.k, index) * size)];
    Complex* const dk = &out.dk[size_t(position(c.k, index) * size)];
    Complexes p(size_t(size), 0);
    for (int64_t i = 0; c.has_ct_final && i < size; ++i) {
      p[size_t(i)] = std::conj(ct_final[size_t(batch * size + i)]) / weights[size_t(i)];
    }
    for (int64_t step = c.steps - 1; step >= 0; --step) {
      if (c.has_ct && (!c.last_only || step == c.steps - 1)) {
        const Complexes more =
            fft2.forward(&ct[size_t((c.last_only ? batch : batch * c.steps + c.time(step)) * frame)]);
        for (size_t i = 0; i < p.size(); ++i) p[i] += more[i];
      }
      const Complexes dx = fft2.inverse(p.data());
      std::copy(dx.begin(), dx.end(), &out.dx[size_t((batch * c.steps + c.time(step)) * frame)]);
      if (is_reset(c, in, index, step)) {
        std::fill(p.begin(), p.end(), 0);
        continue;
      }
      const Complex* const before = &forward.before[size_t((batch * c.steps + step) * size)];
      for (int64_t i = 0; i < size; ++i) {
        dk[i] += weights[size_t(i)] * times(std::conj(p[size_t(i)]), before[i]);
        p[size_t(i)] = times(std::conj(factor[i]), p[size_t(i)]);
      }
    }
    for (int64_t i = 0; i < size; ++i) out.dh0.push_back(weights[size_t(i)] * std::conj(p[size_t(i)]));
  });
  return out;
}

void expect_near(const char* name, const Array& got, const Complexes& want, const std::string& where) {
  if (got.size() != int64_t(want.size())) return fail(where + ": " + name + " has the wrong size");
  double largest = 0;
  for (const Complex value : want) largest = std::max({largest, std::fabs(value.real()), std::fabs(value.imag())});
  const double bound = relative_error(got.dtype()) * largest;
  for (int64_t i = 0; i < got.size(); ++i) {
    const Complex value = got[i], expected = want[size_t(i)], error = value - expected;
    if (std::fabs(error.real()) <= bound && std::fabs(error.imag()) <= bound) continue;
    char numbers[160];
    std::snprintf(numbers, sizeof(numbers), " is %.9g%+.9gi; expected %.9g%+.9gi within %.3g", value.real(),
                  value.imag(), expected.real(), expected.imag(), bound);
    return fail(where + ": " + name + "[" + std::to_string(i) + "] of " + to_string(got.dims()) + numbers);
  }
}

}  // namespace cssm::testing
