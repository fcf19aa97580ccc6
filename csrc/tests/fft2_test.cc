// rfft2 and irfft2 against their definitions: every small height and width, and larger ones for each kind of radix and
// for convolutions; channels around whole vectors; every instruction set and dtype.
#include "cpu/fft2.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "spectral_case.h"
#include "spectral_reference.h"
#include "spectral_tables.h"
#include "test_pool.h"

namespace cssm::testing {
namespace {

// Frames or spectra, with fewer channels on demand: one reference, of the most channels, serves them all.
struct Wide {
  Dims dims;
  Complexes values;

  Complexes first(int64_t channels) const {
    const int64_t all = dims.back();
    Complexes out;
    out.reserve(values.size() / size_t(all) * size_t(channels));
    for (size_t i = 0; i < values.size(); i += size_t(all)) {
      out.insert(out.end(), values.begin() + int64_t(i), values.begin() + int64_t(i) + channels);
    }
    return out;
  }
  Array array(DType dtype, int64_t channels) const {
    Array out(dtype, shape(channels));
    const Complexes some = first(channels);
    for (int64_t i = 0; i < out.size(); ++i) out.set(i, some[size_t(i)]);
    return out;
  }
  Dims shape(int64_t channels) const { return with_size(dims, int64_t(dims.size()) - 1, channels); }
};

// Random frames with their spectra, and random spectra, which are not Hermitian, with their frames.
struct Truth {
  Truth(int64_t count, int64_t height, int64_t width, int64_t channels, Random& random) {
    const Dims frames{count, height, width, channels}, spectra{count, height, width / 2 + 1, channels};
    const NaiveFft2 fft2(height, width, channels);
    frames_in = {frames, values(random_exact(DType::kF64, frames, random))};
    spectra_in = {spectra, values(random_exact(DType::kC128, spectra, random))};
    spectra_out.dims = spectra;
    frames_out.dims = frames;
    for (int64_t i = 0; i < count; ++i) {
      append(fft2.forward(&frames_in.values[size_t(i * fft2.frame_size())]), spectra_out);
      append(fft2.inverse(&spectra_in.values[size_t(i * fft2.spectrum_size())]), frames_out);
    }
  }
  static void append(const Complexes& more, Wide& to) { to.values.insert(to.values.end(), more.begin(), more.end()); }

  Wide frames_in, spectra_out, spectra_in, frames_out;
};

class Checker {
 public:
  void check(int64_t height, int64_t width) {
    const int64_t count = height * width < 64 ? 2 : 1;
    const Truth truth(count, height, width, kMostChannels, random_);
    for (const SpectralTable& table : tables_) {
      for (const DType dtype : {DType::kF32, DType::kF64, DType::kBF16, DType::kF16}) {
        const int64_t lanes = dtype == DType::kF64 ? table.kernels.f64.lanes : table.kernels.f32.lanes;
        const int64_t all_channels[] = {1, 3, lanes, lanes + 1, 2 * lanes + 5};
        const int64_t chosen = all_channels[random_.below(5)];
        for (const int64_t channels : all_channels) {
          // Any of them in turn where the small sizes in float32 do not already take them all.
          const bool all = dtype == DType::kF32 && height * width <= 256 && &table != &tables_.back();
          if (all || channels == chosen) check({dtype, count, height, width, channels}, truth, table);
        }
      }
    }
  }

 private:
  static constexpr int64_t kMostChannels = 37;

  void check(const Fft2Problem& p, const Truth& truth, const SpectralTable& table) {
    TestPool& pool = pools_[random_.below(2)];
    const DType spectrum = spectrum_dtype(p.dtype);
    const std::string where = table.name + " " + dtype_name(p.dtype) + to_string(truth.frames_in.shape(p.channels));

    const Array spectra = poisoned(spectrum, truth.spectra_out.shape(p.channels));
    rfft2(p, truth.frames_in.array(p.dtype, p.channels).bytes(), spectra.bytes(), table.kernels, pool);
    expect_near("rfft2", spectra, truth.spectra_out.first(p.channels), where);

    const Array frames = poisoned(p.dtype, truth.frames_out.shape(p.channels));
    irfft2(p, truth.spectra_in.array(spectrum, p.channels).bytes(), frames.bytes(), table.kernels, pool);
    expect_near("irfft2", frames, truth.frames_out.first(p.channels), where);
  }

  Random random_{1};
  std::vector<SpectralTable> tables_ = all_spectral_tables();
  TestPool pools_[2] = {TestPool(1), TestPool(3)};
};

void small_sizes(Checker& checker) {
  for (int64_t height = 1; height <= 16; ++height) {
    for (int64_t width = 1; width <= 16; ++width) checker.check(height, width);
  }
}

void larger_sizes(Checker& checker) {
  const std::pair<int64_t, int64_t> sizes[] = {{31, 33}, {40, 37}, {56, 56},  {64, 24},  {97, 12}, {12, 97},
                                               {101, 6}, {6, 103}, {128, 16}, {16, 224}, {211, 4}};
  for (const auto& [height, width] : sizes) checker.check(height, width);
}

// Frames so large that all threads work on one.
void one_large_frame() {
  Random random(2);
  TestPool pool(3);
  const int64_t height = 191, width = 180, channels = 3;
  const Truth truth(1, height, width, channels, random);
  const SpectralTable table = spectral_tables().front();
  const Array spectra = poisoned(DType::kC64, truth.spectra_out.dims);
  const Array frames = poisoned(DType::kF32, truth.frames_out.dims);
  const Fft2Problem p{DType::kF32, 1, height, width, channels};
  rfft2(p, truth.frames_in.array(DType::kF32, channels).bytes(), spectra.bytes(), table.kernels, pool);
  irfft2(p, truth.spectra_in.array(DType::kC64, channels).bytes(), frames.bytes(), table.kernels, pool);
  expect_near("rfft2", spectra, truth.spectra_out.values, "one large frame");
  expect_near("irfft2", frames, truth.frames_out.values, "one large frame");
}

}  // namespace
}  // namespace cssm::testing

int main() {
  using namespace cssm::testing;
  Checker checker;
  test("small sizes", [&] { small_sizes(checker); });
  test("larger sizes", [&] { larger_sizes(checker); });
  test("one large frame", one_large_frame);
  return exit_status();
}
