// With the adjoint state p_t, the cotangent of S_t brought to the form of a spectrum,
//
//     p_t = rfft2(ct_t) + conj(k) p_{t+1},   dx_t = irfft2(p_t),   dk = w conj(sum_t p_t conj(S_{t-1})),
//
// where w = (1 for f = 0, W/2, else 2) / (H W) and JAX's cotangents have no conjugate (cotangent of S_t = w conj(p_t)).
// S is run again from the checkpoints, a segment at a time. dx_t = ct_t where nothing comes back from t + 1.
//
// Of projected frames (spectral_projection.h) the states go through the inverse transform again, and ds is made of ct
// as its rows are read.
#include <optional>

#include "common/memory.h"
#include "cpu/part_sums.h"
#include "cpu/spectral_operands.h"

namespace cssm {
namespace {

// Sums of dk are cut by shape, never by the number of threads: into as many parts as would keep this many threads busy.
constexpr int64_t kBusyTasks = 64;

template <class C>
class Backward {
 public:
  Backward(const SpectralProblem& p, const SpectralBackward& out, const SpectralKernelsOf<C>& kernels)
      : in_(p, kernels),
        frames_(in_.frames),
        p_(p),
        out_(out),
        sharers_(1 + *std::max_element(in_.k_at.begin(), in_.k_at.end())) {
    for (int64_t b = 0; b < in_.batches(); ++b) sharers_[in_.k_at[b]].push_back(b);
    const int64_t sharers = int64_t(sharers_[0].size());
    const int64_t alone = int64_t(sharers_.size()) * frames_.groups();
    parts_ = std::clamp<int64_t>((kBusyTasks + alone - 1) / alone, 1, sharers);
    const int64_t frames = in_.batches() * p.steps * 3;
    stream_ = outgrows_cache(frames * frames_.frame_bytes());
    if (p.projection) projection_.emplace(*p.projection, p.dtype, p.channels, ProjectedPixels::kBack);
  }

  void run(ThreadPool& pool) {
    if (sums_dk()) sums_.resize(int64_t(sharers_.size()) * parts_ * frames_.channel_blocks() * frames_.spectrum_size());
    const int64_t groups = int64_t(sharers_.size()) * parts_ * frames_.groups();
    // As for dk: few sets where there are many sequences.
    group_sets_ = std::clamp<int64_t>(kBusyTasks / groups, 1, frame_parts(1).parts);
    if (projection_) products_.resize(size_t(groups * group_sets_ * projection_->num_sums()));
    share_groups(pool, groups, in_.pixels(), [this](Range range, const Sharing& sharing) { scan(range, sharing); });
    if (projection_) write_products(groups * group_sets_);
    if (out_.dk && !sums_dk()) std::fill_n(out_.dk, int64_t(sharers_.size()) * frames_.spectrum_bytes(), char(0));
    if (!sums_dk()) return;
    share(pool, int64_t(sharers_.size()) * frames_.channel_blocks(), in_.pixels(),
          [this](int64_t i) { write_sums(i / frames_.channel_blocks(), i % frames_.channel_blocks()); });
  }

 private:
  // A block of channels of one batch element, and its memory: k, p, the sum of dk, and z of a segment of x and of ct.
  struct Block {
    int64_t batch, channels;
    C *k, *p, *sum, *x, *ct;
  };

  C* sum(int64_t k_batch, int64_t part, int64_t channels) const {
    if (!sums_dk()) return nullptr;
    const int64_t index = (k_batch * parts_ + part) * frames_.channel_blocks() + channels;
    return const_cast<C*>(sums_.data()) + index * frames_.spectrum_size();
  }

  void scan(Range range, const Sharing& sharing) const {
    const int64_t in_group = frames_.group_blocks();
    const int64_t most = std::min(p_.steps, p_.spacing);
    const int64_t block_size = 2 * frames_.spectrum_size() + 2 * most * frames_.z_size();
    C* const memory = workspace(Purpose::kBlock).template get<C>((range.end - range.begin) * in_group * block_size);
    // Range of groups: (k_batch, part of its sharers, group of blocks). Sharers of a part take turns.
    const int64_t sharers = int64_t(sharers_[0].size());
    for (int64_t turn = 0; turn < (sharers + parts_ - 1) / parts_; ++turn) {
      const auto for_blocks = [&](int64_t group, const auto& body) {
        const int64_t index = range.begin + group;
        const int64_t k_batch = index / (parts_ * frames_.groups()), part_index = index / frames_.groups() % parts_;
        const Range mine = part(sharers, parts_, part_index);
        if (mine.begin + turn >= mine.end) return;
        const Range blocks = frames_.group(index % frames_.groups());
        for (int64_t channels = blocks.begin; channels < blocks.end; ++channels) {
          C* const k = memory + (group * in_group + channels - blocks.begin) * block_size;
          C* const p = k + frames_.spectrum_size();
          C* const x = p + frames_.spectrum_size();
          body(Block{sharers_[k_batch][mine.begin + turn], channels, k, p, sum(k_batch, part_index, channels), x,
                     x + most * frames_.z_size()});
        }
      };
      run_segments(range, for_blocks, sharing);
    }
    if (stream_) frames_.kernels.fence();
  }

  template <class ForBlocks>
  void run_segments(Range range, const ForBlocks& for_blocks, const Sharing& sharing) const {
    const FrameShape<C>& shape = frames_.shape;
    const int64_t groups = range.end - range.begin;
    for (int64_t segment = p_.checkpoints(); segment >= 0; --segment) {
      const int64_t begin = segment * p_.spacing;
      const int64_t steps = std::min(p_.spacing, p_.steps - begin);
      const FrameParts xs = frame_parts(num_states(steps));
      sharing.for_each(xs.count(groups), [&](int64_t i) {
        for_blocks(xs.group(i), [&](const Block& b) {
          const char* const rows = frames_.rows_at(in_.x(b.batch, begin + xs.step(i)), xs.range(i));
          frames_.rows_forward(rows, b.channels, xs.range(i), b.x + xs.step(i) * frames_.z_size());
        });
      });
      const FrameParts cts = frame_parts(steps);
      sharing.for_each(only_copies() ? 0 : cts.count(groups), [&](int64_t i) {
        const int64_t step = begin + cts.step(i);
        const char* rows = nullptr;
        for_blocks(cts.group(i), [&](const Block& b) {
          if (!has_ct(step)) return;
          if (!projection_ || !rows) rows = ct_rows(b.batch, step, cts.range(i));
          frames_.rows_forward(rows, b.channels, cts.range(i), b.ct + cts.step(i) * frames_.z_size());
        });
      });
      sharing.for_each(only_copies() ? 0 : groups * shape.columns(), [&](int64_t i) {
        for_blocks(i / shape.columns(), [&](const Block& b) {
          if (p_.filters) {
            filter_column(b, i % shape.columns(), {begin, begin + steps});
          } else {
            column(b, i % shape.columns(), {begin, begin + steps});
          }
        });
      });
      if (projection_) {
        sharing.for_each(groups * group_sets_, [&](int64_t i) {
          double* const sums = products_at(range.begin * group_sets_ + i);
          const auto with_blocks = [&](const auto& body) { for_blocks(i / group_sets_, body); };
          const Range own = part(cts.parts, group_sets_, i % group_sets_);
          for (int64_t rows = own.begin; rows < own.end; ++rows) {
            pull_back_projected(with_blocks, {begin, begin + steps}, cts.range(rows), sums);
          }
          if (stream_ && sharing.spread) frames_.kernels.fence();
        });
        continue;
      }
      sharing.for_each(cts.count(groups), [&](int64_t i) {
        for_blocks(cts.group(i), [&](const Block& b) {
          const int64_t step = begin + cts.step(i);
          char* const rows = frames_.rows_at(dx(b.batch, step), cts.range(i));
          if (ends(b.batch, step)) {
            const char* const from = has_ct(step) ? frames_.rows_at(ct(b.batch, step), cts.range(i)) : nullptr;
            frames_.copy_rows(from, cts.range(i), rows, b.channels);
            return;
          }
          inverse(b.ct + cts.step(i) * frames_.z_size(), cts.range(i), rows, b.channels, stream_);
        });
        if (stream_ && sharing.spread) frames_.kernels.fence();
      });
    }
  }

  void inverse(const C* z, PairRange pairs, char* rows, int64_t channels, bool stream) const {
    const C scale = C(1) / C(kSpectrumScale * frames_.shape.height * frames_.shape.width);
    frames_.rows_inverse(z, scale, pairs, rows, channels, stream);
  }

  // Rows of the cotangent of the frames that leave the inverse transform.
  const char* ct_rows(int64_t batch, int64_t step, PairRange pairs) const {
    if (!projection_) return frames_.rows_at(ct(batch, step), pairs);
    const int64_t pixels = frames_.pixels(pairs);
    char* const rows = reinterpret_cast<char*>(workspace(Purpose::kRows).template get<C>(pixels * frames_.channels));
    projection_->back(pixels, projected_ct(batch, step, pairs), rows);
    return rows;
  }
  const char* projected_ct(int64_t batch, int64_t step, PairRange pairs) const {
    return ct(batch, step) + frames_.first_pixel(pairs) * projection_->pixel_bytes();
  }

  // dx, and the sums of dW and db, of some rows of the steps of a segment.
  template <class WithBlocks>
  void pull_back_projected(const WithBlocks& with_blocks, Range steps, PairRange pairs, double* sums) const {
    const int64_t pixels = frames_.pixels(pairs), size = pixels * frames_.channels;
    C* const rows = workspace(Purpose::kRows).template get<C>(2 * size);
    char *const s = reinterpret_cast<char*>(rows), *const p = reinterpret_cast<char*>(rows + size);
    const bool minus_x = p_.projection->minus_x;
    for (int64_t step = steps.begin; step < steps.end; ++step) {
      const int64_t at = (step - steps.begin) * frames_.z_size();
      int64_t batch = -1;
      char* to = nullptr;
      with_blocks([&](const Block& b) {
        batch = b.batch;
        to = frames_.rows_at(dx(batch, step), pairs);
        inverse(b.x + at, pairs, s, b.channels, false);
        inverse(b.ct + at, pairs, minus_x ? p : to, b.channels, stream_ && !minus_x);
      });
      if (batch < 0) return;  // a part with fewer sharers than this turn
      const char* const ct = projected_ct(batch, step, pairs);
      projection_->sum(pixels, s, ct, sums);
      if (minus_x) projection_->subtract(pixels, p, ct, to, stream_);
    }
  }

  void column(const Block& b, int64_t f, Range steps) const {
    const SpectralKernelsOf<C>& kernels = frames_.kernels;
    const FrameShape<C>& shape = frames_.shape;
    const int64_t size = frames_.column_size(), count = steps.end - steps.begin;
    constexpr C kIn = kSpectrumScale;
    C* const k = b.k + f * size;
    C* const p = b.p + f * size;
    C* const scratch = frames_.transform_scratch();
    C* const states = workspace(Purpose::kColumn).template get<C>((count + 2) * size);
    if (steps.end == p_.steps) {
      if (reaches_before(p_.steps - 1)) frames_.load_column(in_.k(b.batch), b.channels, f, {1, 1}, k);
      const char* const ct = out_.ct_final ? out_.ct_final + b.batch * frames_.spectrum_bytes() : nullptr;
      frames_.load_column(ct, b.channels, f, {kIn / weight(f), -kIn / weight(f)}, p);
    }
    frames_.load_column(out_.dk ? state_before(b, steps.begin) : nullptr, b.channels, f, {kIn, kIn}, states);
    for (int64_t i = 0; i < num_states(count); ++i) {
      in_.step(b.batch, steps.begin + i, f, b.x + i * frames_.z_size(), k, states + i * size, states + (i + 1) * size);
    }
    C* const sum = states + (count + 1) * size;  // of the segment: long sums are added up in two levels
    std::fill_n(sum, size, C(0));
    for (int64_t i = count - 1; i >= 0; --i) {
      const int64_t at = steps.begin + i;
      C* const z = b.ct + i * frames_.z_size();
      if (projection_) kernels.column_inverse(shape, f, states + (i + 1) * size, b.x + i * frames_.z_size(), scratch);
      // p holds conj(k) p_{t+1} until the transform of ct_t is added.
      if (has_ct(at)) kernels.column_add(shape, f, z, p, scratch);
      if (!ends(b.batch, at)) kernels.column_inverse(shape, f, p, z, scratch);
      if (in_.resets(b.batch, at)) {
        std::fill_n(p, size, C(0));
      } else if (reaches_before(at)) {
        kernels.pull_back(shape.height, k, states + (out_.dk ? i * size : 0), p, sum);
      }
    }
    if (sums_dk()) kernels.add(shape.height, sum, b.sum + f * size);
    if (steps.begin == 0 && out_.dh0) {
      const C scale = weight(f) / kSpectrumScale;
      frames_.store_column(p, {scale, -scale}, out_.dh0 + b.batch * frames_.spectrum_bytes(), b.channels, f);
    }
  }

  // S_t = k X_t: nothing passes from step to step.
  void filter_column(const Block& b, int64_t f, Range steps) const {
    const SpectralKernelsOf<C>& kernels = frames_.kernels;
    const FrameShape<C>& shape = frames_.shape;
    const int64_t size = frames_.column_size();
    C* const k = b.k + f * size;
    C* const scratch = frames_.transform_scratch();
    C* const x = workspace(Purpose::kColumn).template get<C>(4 * size);
    C *const s = x + size, *const p = s + size, *const sum = p + size;
    if (steps.end == p_.steps) frames_.load_column(in_.k(b.batch), b.channels, f, {1, 1}, k);
    std::fill_n(sum, size, C(0));
    for (int64_t i = 0; i < steps.end - steps.begin; ++i) {
      C *const z_x = b.x + i * frames_.z_size(), *const z_ct = b.ct + i * frames_.z_size();
      kernels.column_forward(shape, f, z_x, x, scratch);
      kernels.multiply(shape.height, k, x, s);
      kernels.column_inverse(shape, f, s, z_x, scratch);
      kernels.column_forward(shape, f, z_ct, p, scratch);
      kernels.pull_back(shape.height, k, x, p, sum);
      kernels.column_inverse(shape, f, p, z_ct, scratch);
    }
    kernels.add(shape.height, sum, b.sum + f * size);
  }

  void write_sums(int64_t k_batch, int64_t channels) const {
    for (int64_t f = 0; f < frames_.shape.columns(); ++f) {
      C* const total = sum(k_batch, 0, channels) + f * frames_.column_size();
      for (int64_t i = 1; i < parts_; ++i) {
        frames_.kernels.add(frames_.shape.height, sum(k_batch, i, channels) + f * frames_.column_size(), total);
      }
      const C scale = weight(f) / (kSpectrumScale * kSpectrumScale);
      frames_.store_column(total, {scale, scale}, out_.dk + k_batch * frames_.spectrum_bytes(), channels, f);
    }
  }

  double* products_at(int64_t set) const {
    return const_cast<double*>(products_.data()) + set * projection_->num_sums();
  }
  void write_products(int64_t sets) const {
    const int64_t set = projection_->num_sums(), width = projection_->width;
    write_part_sums(products_.data(), sets, set, set - width, p_.dtype, out_.dw);
    if (out_.dbias) write_part_sums(products_.data() + set - width, sets, set, width, p_.dtype, out_.dbias);
  }

  FrameParts frame_parts(int64_t steps) const { return {steps, frames_.shape.pairs(), frames_.pair_bytes()}; }
  // States that a segment makes again: the one after its last step is not needed but for a projection.
  int64_t num_states(int64_t steps) const { return !out_.dk ? 0 : projection_ ? steps : steps - 1; }
  C weight(int64_t f) const {
    const FrameShape<C>& shape = frames_.shape;
    return C(shape.is_edge(f) ? 1 : 2) / C(shape.height * shape.width);
  }
  // The state before a segment's first step.
  const char* state_before(const Block& b, int64_t step) const {
    if (step == 0) return in_.h0(b.batch);
    return out_.checkpoints + in_.checkpoint_at(b.batch, step) * frames_.spectrum_bytes();
  }
  // One step from nothing has no use for k.
  bool sums_dk() const { return out_.dk && (p_.steps > 1 || p_.h0 || p_.filters); }
  // Whether anything is wanted of what precedes a step.
  bool reaches_before(int64_t step) const { return step > 0 || p_.h0 || out_.dh0; }
  // Whether nothing after a step reaches its adjoint: dx is ct.
  bool ends(int64_t batch, int64_t step) const {
    if (projection_) return false;
    return step + 1 == p_.steps ? !out_.ct_final : in_.resets(batch, step + 1);
  }
  bool only_copies() const { return !projection_ && p_.steps == 1 && !out_.ct_final && !reaches_before(0); }
  bool has_ct(int64_t step) const { return out_.ct && (!out_.last_only || step == p_.steps - 1); }
  const char* ct(int64_t batch, int64_t step) const {
    const int64_t frame = frames_.shape.height * frames_.shape.width;
    const int64_t bytes = projection_ ? frame * projection_->pixel_bytes() : frames_.frame_bytes();
    return out_.ct + in_.frame_at(batch, step, out_.last_only) * bytes;
  }
  char* dx(int64_t batch, int64_t step) const {
    return out_.dx + in_.frame_at(batch, step, false) * frames_.frame_bytes();
  }

  const SpectralOperands<C> in_;
  const SpectralFrames<C>& frames_;
  const SpectralProblem& p_;
  const SpectralBackward& out_;
  std::vector<std::vector<int64_t>> sharers_;  // of each k: the batch elements whose gradients it sums
  int64_t parts_;
  std::vector<C> sums_;
  std::optional<ProjectedPixels> projection_;
  std::vector<double> products_;
  int64_t group_sets_;
  bool stream_;
};

}  // namespace

void spectral_scan_backward(const SpectralProblem& p, const SpectralBackward& out, const SpectralKernels& kernels,
                            ThreadPool& pool) {
  if (p.dtype == DType::kF64) {
    Backward<double>(p, out, kernels.f64).run(pool);
  } else {
    Backward<float>(p, out, kernels.f32).run(pool);
  }
}

}  // namespace cssm
