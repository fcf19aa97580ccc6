#include <optional>

#include "common/memory.h"
#include "cpu/spectral_operands.h"

namespace cssm {
namespace {

template <class C>
class Forward {
 public:
  Forward(const SpectralProblem& p, const SpectralForward& out, const SpectralKernelsOf<C>& kernels)
      : in_(p, kernels), frames_(in_.frames), p_(p), out_(out) {
    const int64_t frames = in_.batches() * p.steps * (out.last_only ? 1 : 2);
    stream_ = outgrows_cache(frames * frames_.frame_bytes());
    if (p.projection) projection_.emplace(*p.projection, p.dtype, p.channels, ProjectedPixels::kOut);
    fetch_ = frames * frames_.frame_bytes() >= last_level_cache_bytes();
  }

  void run(ThreadPool& pool) const {
    const int64_t groups = in_.batches() * frames_.groups();
    share_groups(pool, groups, in_.pixels(), [this](Range range, const Sharing& sharing) { scan(range, sharing); });
  }

 private:
  // A block's memory: k, the state, and a window of z.
  struct Block {
    int64_t batch, channels;
    C *k, *state, *z;
  };

  void scan(Range range, const Sharing& sharing) const {
    const FrameShape<C>& shape = frames_.shape;
    const int64_t groups = range.end - range.begin, in_group = frames_.group_blocks();
    const int64_t z_bytes = in_group * frames_.z_size() * int64_t(sizeof(C));
    const int64_t most = std::min(p_.steps, window_steps(sharing.spread, z_bytes));
    const bool fetches = fetch_ && most * z_bytes <= kWindowBytes;
    const int64_t block_size = 2 * frames_.spectrum_size() + most * frames_.z_size();
    C* const memory = workspace(Purpose::kBlock).template get<C>(groups * in_group * block_size);
    const auto for_blocks = [&](int64_t group, const auto& body) {
      const int64_t index = range.begin + group;
      const Range blocks = frames_.group(index % frames_.groups());
      for (int64_t channels = blocks.begin; channels < blocks.end; ++channels) {
        C* const k = memory + (group * in_group + channels - blocks.begin) * block_size;
        C* const state = k + frames_.spectrum_size();
        body(Block{index / frames_.groups(), channels, k, state, state + frames_.spectrum_size()});
      }
    };
    for (int64_t begin = 0; begin < p_.steps; begin += most) {
      const int64_t steps = std::min(most, p_.steps - begin);
      const FrameParts in(steps, shape.pairs(), frames_.pair_bytes());
      sharing.for_each(only_copies() ? 0 : in.count(groups), [&](int64_t i) {
        for_blocks(in.group(i), [&](const Block& b) {
          const char* const rows = frames_.rows_at(in_.x(b.batch, begin + in.step(i)), in.range(i));
          frames_.rows_forward(rows, b.channels, in.range(i), b.z + in.step(i) * frames_.z_size());
        });
      });
      const int64_t next = fetches ? std::min(most, p_.steps - begin - steps) : 0;
      sharing.for_each(only_copies() ? 0 : groups * shape.columns(), [&](int64_t i) {
        for_blocks(i / shape.columns(), [&](const Block& b) {
          column(b, i % shape.columns(), {begin, begin + steps}, b.channels % in_group ? 0 : next, sharing.abreast);
        });
      });
      const int64_t first_out = out_.last_only ? std::min(p_.steps - 1 - begin, steps) : 0;
      const FrameParts out(steps - first_out, shape.pairs(), frames_.pair_bytes());
      sharing.for_each(out.count(groups), [&](int64_t i) {
        const int64_t step = first_out + out.step(i);
        const auto write_rows = [&](const auto& body) {
          for_blocks(out.group(i), [&](const Block& b) { body(b, b.z + step * frames_.z_size()); });
        };
        if (projection_) {
          write_projected(write_rows, begin + step, out.range(i));
        } else {
          write_rows([&](const Block& b, const C* z) {
            inverse(b, begin + step, z, out.range(i), frames_.rows_at(y(b.batch, begin + step), out.range(i)), stream_);
          });
        }
        if (stream_ && sharing.spread) frames_.kernels.fence();
      });
    }
    if (stream_) frames_.kernels.fence();
  }

  void inverse(const Block& b, int64_t step, const C* z, PairRange pairs, char* rows, bool stream) const {
    if (in_.starts(b.batch, step)) {
      frames_.copy_rows(frames_.rows_at(in_.x(b.batch, step), pairs), pairs, rows, b.channels);
      return;
    }
    const C scale = C(1) / C(kSpectrumScale * frames_.shape.height * frames_.shape.width);
    frames_.rows_inverse(z, scale, pairs, rows, b.channels, stream);
  }

  template <class WriteRows>
  void write_projected(const WriteRows& write_rows, int64_t step, PairRange pairs) const {
    const int64_t pixels = frames_.pixels(pairs);
    C* const rows = workspace(Purpose::kRows).template get<C>(pixels * frames_.channels);
    int64_t batch = 0;
    write_rows([&](const Block& b, const C* z) {
      batch = b.batch;
      inverse(b, step, z, pairs, reinterpret_cast<char*>(rows), false);
    });
    const char* const minus = p_.projection->minus_x ? frames_.rows_at(in_.x(batch, step), pairs) : nullptr;
    projection_->out(pixels, reinterpret_cast<const char*>(rows), minus,
                     y(batch, step) + frames_.first_pixel(pairs) * projection_->pixel_bytes(), stream_);
  }

  // Fetches parts of the frames of `next` steps after these: columns leave the memory idle.
  void column(const Block& b, int64_t f, Range steps, int64_t next, bool abreast) const {
    constexpr C kIn = kSpectrumScale, kOut = C(1) / kSpectrumScale;
    C* const k = b.k + f * frames_.column_size();
    C* const state = b.state + f * frames_.column_size();
    if (steps.begin == 0) {
      if (p_.h0 || p_.steps > 1 || p_.filters) frames_.load_column(in_.k(b.batch), b.channels, f, {1, 1}, k);
      if (p_.h0) frames_.load_column(in_.h0(b.batch), b.channels, f, {kIn, kIn}, state);
    }
    for (int64_t i = steps.begin; i < steps.end; ++i) {
      if (out_.checkpoints && i > 0 && i % p_.spacing == 0) {
        char* const checkpoint = out_.checkpoints + in_.checkpoint_at(b.batch, i) * frames_.spectrum_bytes();
        frames_.store_column(state, {kOut, kOut}, checkpoint, b.channels, f);
      }
      C* const z = b.z + (i - steps.begin) * frames_.z_size();
      const char* const ahead = i - steps.begin < next ? in_.x(b.batch, steps.end + i - steps.begin) : nullptr;
      if (ahead) frames_.prefetch_part(ahead, b.channels, 2 * f, abreast);
      in_.step(b.batch, i, f, z, k, state, state);
      if (ahead) frames_.prefetch_part(ahead, b.channels, 2 * f + 1, abreast);
      if ((!out_.last_only || i == p_.steps - 1) && !in_.starts(b.batch, i)) {
        frames_.kernels.column_inverse(frames_.shape, f, state, z, frames_.transform_scratch());
      }
    }
    if (out_.final_state && steps.end == p_.steps) {
      frames_.store_column(state, {kOut, kOut}, out_.final_state + b.batch * frames_.spectrum_bytes(), b.channels, f);
    }
  }

  // One step from nothing gives back its frame.
  bool only_copies() const { return !p_.filters && p_.steps == 1 && !p_.h0 && !out_.final_state; }

  char* y(int64_t batch, int64_t step) const {
    const int64_t frame = frames_.shape.height * frames_.shape.width;
    const int64_t bytes = projection_ ? frame * projection_->pixel_bytes() : frames_.frame_bytes();
    return out_.y + in_.frame_at(batch, step, out_.last_only) * bytes;
  }

  const SpectralOperands<C> in_;
  const SpectralFrames<C>& frames_;
  const SpectralProblem& p_;
  const SpectralForward& out_;
  std::optional<ProjectedPixels> projection_;
  bool stream_, fetch_;
};

}  // namespace

void spectral_scan_forward(const SpectralProblem& p, const SpectralForward& out, const SpectralKernels& kernels,
                           ThreadPool& pool) {
  if (p.dtype == DType::kF64) {
    Forward<double>(p, out, kernels.f64).run(pool);
  } else {
    Forward<float>(p, out, kernels.f32).run(pool);
  }
}

}  // namespace cssm
