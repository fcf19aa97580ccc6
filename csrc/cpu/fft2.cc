#include "cpu/fft2.h"

#include "common/memory.h"
#include "cpu/spectral_frames.h"

namespace cssm {
namespace {

template <class C>
class Fft2 {
 public:
  Fft2(const Fft2Problem& p, const SpectralKernelsOf<C>& kernels)
      : p_(p), frames_(kernels, p.dtype, p.height, p.width, p.channels) {}

  void forward(const char* frames, char* spectra, ThreadPool& pool) const {
    const bool stream = outgrows_cache();
    run(pool, [&](int64_t groups, const auto& for_blocks, const Sharing& sharing) {
      rows(groups, sharing, for_blocks, [&](const Block& b, PairRange pairs) {
        frames_.rows_forward(frames_.rows_at(frames + b.frame * frames_.frame_bytes(), pairs), b.channels, pairs, b.z);
      });
      columns(groups, sharing, for_blocks, [&](const Block& b, int64_t f, C* column) {
        frames_.kernels.column_forward(frames_.shape, f, b.z, column, frames_.transform_scratch());
        constexpr C kOut = C(1) / kSpectrumScale;
        frames_.store_column(column, {kOut, kOut}, spectra + b.frame * frames_.spectrum_bytes(), b.channels, f, stream);
        if (stream && sharing.spread) frames_.kernels.fence();
      });
      if (stream) frames_.kernels.fence();
    });
  }

  void inverse(const char* spectra, char* frames, ThreadPool& pool) const {
    const bool stream = outgrows_cache();
    run(pool, [&](int64_t groups, const auto& for_blocks, const Sharing& sharing) {
      columns(groups, sharing, for_blocks, [&](const Block& b, int64_t f, C* column) {
        frames_.load_column(spectra + b.frame * frames_.spectrum_bytes(), b.channels, f, {1, 1}, column);
        frames_.kernels.column_inverse(frames_.shape, f, column, b.z, frames_.transform_scratch());
      });
      rows(groups, sharing, for_blocks, [&](const Block& b, PairRange pairs) {
        const C scale = C(1) / C(p_.height * p_.width);
        frames_.rows_inverse(b.z, scale, pairs, frames_.rows_at(frames + b.frame * frames_.frame_bytes(), pairs),
                             b.channels, stream);
        if (stream && sharing.spread) frames_.kernels.fence();
      });
      if (stream) frames_.kernels.fence();
    });
  }

 private:
  bool outgrows_cache() const {
    return cssm::outgrows_cache(p_.count * (frames_.frame_bytes() + frames_.spectrum_bytes()));
  }

  struct Block {
    int64_t frame, channels;
    C* z;
  };

  template <class Run>
  void run(ThreadPool& pool, const Run& run_groups) const {
    const int64_t groups = p_.count * frames_.groups();
    share_groups(pool, groups, p_.height * p_.width, [&](Range range, const Sharing& sharing) {
      const int64_t in_group = frames_.group_blocks();
      C* const memory =
          workspace(Purpose::kBlock).template get<C>((range.end - range.begin) * in_group * frames_.z_size());
      const auto for_blocks = [&](int64_t group, const auto& body) {
        const int64_t index = range.begin + group;
        const Range blocks = frames_.group(index % frames_.groups());
        for (int64_t channels = blocks.begin; channels < blocks.end; ++channels) {
          body(Block{index / frames_.groups(), channels,
                     memory + (group * in_group + channels - blocks.begin) * frames_.z_size()});
        }
      };
      run_groups(range.end - range.begin, for_blocks, sharing);
    });
  }

  template <class ForBlocks, class Do>
  void rows(int64_t groups, const Sharing& sharing, const ForBlocks& for_blocks, const Do& body) const {
    const FrameParts parts(1, frames_.shape.pairs(), frames_.pair_bytes());
    sharing.for_each(parts.count(groups),
                     [&](int64_t i) { for_blocks(parts.group(i), [&](const Block& b) { body(b, parts.range(i)); }); });
  }

  template <class ForBlocks, class Do>
  void columns(int64_t groups, const Sharing& sharing, const ForBlocks& for_blocks, const Do& body) const {
    const int64_t count = frames_.shape.columns();
    sharing.for_each(groups * count, [&](int64_t i) {
      C* const column = workspace(Purpose::kColumn).template get<C>(frames_.column_size());
      for_blocks(i / count, [&](const Block& b) { body(b, i % count, column); });
    });
  }

  const Fft2Problem& p_;
  const SpectralFrames<C> frames_;
};

}  // namespace

void rfft2(const Fft2Problem& p, const char* frames, char* spectra, const SpectralKernels& kernels, ThreadPool& pool) {
  if (p.dtype == DType::kF64) {
    Fft2<double>(p, kernels.f64).forward(frames, spectra, pool);
  } else {
    Fft2<float>(p, kernels.f32).forward(frames, spectra, pool);
  }
}

void irfft2(const Fft2Problem& p, const char* spectra, char* frames, const SpectralKernels& kernels, ThreadPool& pool) {
  if (p.dtype == DType::kF64) {
    Fft2<double>(p, kernels.f64).inverse(spectra, frames, pool);
  } else {
    Fft2<float>(p, kernels.f32).inverse(spectra, frames, pool);
  }
}

}  // namespace cssm
