#include "cpu/depthwise_conv.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "common/memory.h"
#include "common/task_grid.h"
#include "cpu/part_sums.h"

namespace cssm {
namespace {

// What a task reads again and again stays in half of a core's L2.
constexpr int64_t kTileBytes = 512 << 10;
constexpr int64_t kMinTaskBytes = 64 << 10;
// Pixels summed in the arrays' own precision before they are added to sums in double.
constexpr int64_t kSummedPixels = 128;
constexpr int64_t kMostParts = 64, kPartBytes = 128 << 10;

int64_t product(const Dims& dims) {
  int64_t n = 1;
  for (const int64_t size : dims) n *= size;
  return n;
}

Dims broadcast(const Dims& a, const Dims& b) {
  Dims full = a;
  for (size_t d = 0; d < b.size(); ++d) full[d] = a[d] == 1 ? b[d] : a[d];
  return full;
}

// Which of an operand's batch items each item of the full batch meets.
std::vector<int64_t> items(const Dims& full, const Dims& own) {
  std::vector<int64_t> out(size_t(product(full)));
  for (size_t n = 0; n < out.size(); ++n) {
    int64_t rest = int64_t(n), item = 0, stride = 1;
    for (size_t d = full.size(); d-- > 0;) {
      item += own[d] == 1 ? 0 : rest % full[d] * stride;
      rest /= full[d];
      stride *= own[d];
    }
    out[n] = item;
  }
  return out;
}

int64_t pixels(const Frame& frame) { return frame[0] * frame[1] * frame[2]; }

// The same problem with rows as long as can be: a window of one pixel a frame takes whole frames for rows, or, where a
// frame is one pixel, all of time.
DepthwiseProblem with_long_rows(DepthwiseProblem p) {
  if (p.window[1] != 1 || p.window[2] != 1 || p.offset[1] != 0 || p.offset[2] != 0 || p.in[1] != p.out[1] ||
      p.in[2] != p.out[2]) {
    return p;
  }
  for (Frame* frame : {&p.in, &p.out}) *frame = {(*frame)[0], 1, (*frame)[1] * (*frame)[2]};
  if (p.in[2] == 1) {
    for (Frame* frame : {&p.in, &p.out, &p.window}) *frame = {1, 1, (*frame)[0]};
    p.offset = {0, 0, p.offset[0]};
  }
  return p;
}

struct Box {
  Range time, height, width;
};

// Cuts the output of one batch item, of at least one pixel, into boxes: `wanted` in all of `items` if they are large.
class Boxes {
 public:
  Boxes(const DepthwiseProblem& p, int64_t items, int64_t wanted) : out_(p.out), size_(p.out) {
    const int64_t pixel = p.channels * int64_t(element_bytes(p.dtype));
    const int64_t fit = std::max<int64_t>(kTileBytes / pixel, 1);
    auto& [time, height, width] = size_;
    width = std::clamp<int64_t>(fit / (p.window[0] * p.window[1]), std::min<int64_t>(8, width), width);
    if (p.window[0] > 1) {
      height = std::clamp<int64_t>(fit / (p.window[0] * width) - p.window[1], 1, height);
    }
    for (;;) {
      const bool large = pixels(size_) * pixel >= 2 * kMinTaskBytes;
      if (items * count() >= wanted || !large) return;
      int64_t& longest = p.window[0] == 1 && time > 1 ? time : height > 1 ? height : width > 16 ? width : time;
      if (longest == 1) return;
      longest = (longest + 1) / 2;
    }
  }

  int64_t count() const { return parts(0) * parts(1) * parts(2); }
  Box operator[](int64_t i) const {
    const int64_t w = i % parts(2), h = i / parts(2) % parts(1), t = i / parts(2) / parts(1);
    return {part(out_[0], parts(0), t), part(out_[1], parts(1), h), part(out_[2], parts(2), w)};
  }

 private:
  int64_t parts(int d) const { return (out_[d] + size_[d] - 1) / size_[d]; }

  Frame out_, size_;
};

// Rows of a video and of a window.
class Rows {
 public:
  explicit Rows(const DepthwiseProblem& p)
      : p_(p),
        row_in_(p.in[2] * p.channels * int64_t(element_bytes(p.dtype))),
        row_out_(p.out[2] * p.channels * int64_t(element_bytes(p.dtype))),
        tap_(p.channels * int64_t(element_bytes(state_dtype(p.dtype)))) {}

  int64_t in_bytes() const { return p_.in[0] * p_.in[1] * row_in_; }
  int64_t out_bytes() const { return p_.out[0] * p_.out[1] * row_out_; }
  int64_t kernel_bytes() const { return pixels(p_.window) * tap_; }
  int64_t tap_bytes() const { return tap_; }

  // The row of x that tap (i, j) of output row (t, h) meets, null outside.
  const char* in(const char* x, int64_t t, int64_t h, int64_t i, int64_t j) const {
    const int64_t from = t + i - p_.offset[0], row = h + j - p_.offset[1];
    if (from < 0 || from >= p_.in[0] || row < 0 || row >= p_.in[1]) return nullptr;
    return x + (from * p_.in[1] + row) * row_in_;
  }
  int64_t out(int64_t t, int64_t h) const { return (t * p_.out[1] + h) * row_out_; }
  int64_t taps(int64_t i, int64_t j) const { return (i * p_.window[1] + j) * p_.window[2]; }

  template <class Body>
  void for_each_taps(const Body& body) const {
    for (int64_t i = 0; i < p_.window[0]; ++i) {
      for (int64_t j = 0; j < p_.window[1]; ++j) body(i, j);
    }
  }

  RowWindow window(Range columns) const {
    return {p_.channels, p_.window[2], p_.offset[2], p_.in[2], columns.begin, columns.end};
  }

 private:
  const DepthwiseProblem& p_;
  int64_t row_in_, row_out_, tap_;
};

// Correlates boxes, adding to the sums of one task.
class Correlation {
 public:
  Correlation(const DepthwiseProblem& p, const Rows& rows, const DepthwiseKernels& kernels, double* sums,
              double* g_sums)
      : p_(p), rows_(rows), kernel_(kernels.correlate[int(p.dtype)]), sums_(sums), g_sums_(g_sums) {}

  void add(const char* x, const char* g, const Box& box) {
    for (int64_t t = box.time.begin; t < box.time.end; ++t) {
      const int64_t height = std::max<int64_t>(kSummedPixels / (box.width.end - box.width.begin), 1);
      for (int64_t h = box.height.begin; h < box.height.end; h += height) {
        const int64_t end = std::min(h + height, box.height.end);
        for (int64_t w = box.width.begin; w < box.width.end; w += kSummedPixels) {
          add(x, g, t, {h, end}, {w, std::min(w + kSummedPixels, box.width.end)});
        }
      }
    }
  }

 private:
  void add(const char* x, const char* g, int64_t t, Range height, Range columns) {
    x_rows_.clear();
    g_rows_.clear();
    counts_.clear();
    rows_.for_each_taps([&](int64_t i, int64_t j) {
      const size_t before = x_rows_.size();
      for (int64_t h = height.begin; h < height.end; ++h) {
        const char* const row = rows_.in(x, t, h, i, j);
        if (!row) continue;
        x_rows_.push_back(row);
        g_rows_.push_back(g + rows_.out(t, h));
      }
      counts_.push_back(int64_t(x_rows_.size() - before));
    });
    pairs_.clear();
    int64_t at = 0;
    for (size_t k = 0; k < counts_.size(); at += counts_[k++]) {
      if (counts_[k] == 0) continue;
      double* const sums = sums_ + int64_t(k) * p_.window[2] * p_.channels;
      pairs_.push_back({counts_[k], x_rows_.data() + at, g_rows_.data() + at, sums});
    }
    own_rows_.clear();
    for (int64_t h = height.begin; h < height.end; ++h) own_rows_.push_back(g + rows_.out(t, h));
    kernel_({rows_.window(columns), int64_t(pairs_.size()), pairs_.data(), int64_t(own_rows_.size()), own_rows_.data(),
             g_sums_});
  }

  const DepthwiseProblem& p_;
  const Rows& rows_;
  void (*const kernel_)(const CorrelateRows&);
  double* const sums_;
  double* const g_sums_;
  std::vector<const char*> x_rows_, g_rows_, own_rows_;
  std::vector<int64_t> counts_;
  std::vector<RowPairs> pairs_;
};

}  // namespace

void depthwise_convolve(const DepthwiseProblem& problem, const char* x, const char* kernel, const char* bias, char* y,
                        const DepthwiseKernels& kernels, ThreadPool& pool) {
  const DepthwiseProblem p = with_long_rows(problem);
  const Rows rows(p);
  const Dims& full = p.out_batch;
  const std::vector<int64_t> of_x = items(full, p.x_batch), of_kernel = items(full, p.kernel_batch),
                             of_bias = items(full, p.bias_batch);
  const int64_t count = product(full);
  if (count * pixels(p.out) * p.channels == 0) return;
  const Boxes boxes(p, count, 4 * pool.num_threads());
  const bool stream = outgrows_cache(count * (rows.in_bytes() + rows.out_bytes()));
  parallel_for(pool, count * boxes.count(), [&](int64_t task) {
    const size_t item = size_t(task / boxes.count());
    const char* const own_x = x + of_x[item] * rows.in_bytes();
    const char* const own_kernel = kernel + of_kernel[item] * rows.kernel_bytes();
    const char* const own_bias = bias ? bias + of_bias[item] * rows.tap_bytes() : nullptr;
    char* const own_y = y + int64_t(item) * rows.out_bytes();
    const Box box = boxes[task % boxes.count()];
    std::vector<const char*> x_rows, kernel_rows;
    for (int64_t t = box.time.begin; t < box.time.end; ++t) {
      for (int64_t h = box.height.begin; h < box.height.end; ++h) {
        x_rows.clear();
        kernel_rows.clear();
        rows.for_each_taps([&](int64_t i, int64_t j) {
          const char* const row = rows.in(own_x, t, h, i, j);
          if (!row) return;
          x_rows.push_back(row);
          kernel_rows.push_back(own_kernel + rows.taps(i, j) * rows.tap_bytes());
        });
        kernels.convolve[int(p.dtype)]({rows.window(box.width), int64_t(x_rows.size()), x_rows.data(),
                                        kernel_rows.data(), own_bias, own_y + rows.out(t, h), stream});
      }
    }
    if (stream) kernels.fence();
  });
}

void depthwise_correlate(const DepthwiseProblem& problem, const char* x, const char* g, char* dkernel, char* dbias,
                         const DepthwiseKernels& kernels, ThreadPool& pool) {
  const DepthwiseProblem p = with_long_rows(problem);
  const Rows rows(p);
  const Dims full = broadcast(broadcast(p.x_batch, p.out_batch), p.kernel_batch);
  const std::vector<int64_t> of_x = items(full, p.x_batch), of_g = items(full, p.out_batch),
                             of_kernel = items(full, p.kernel_batch);
  const int64_t results = product(p.kernel_batch);
  if (product(full) * pixels(p.out) * p.channels == 0) {  // nothing to sum
    std::memset(dkernel, 0, size_t(results * rows.kernel_bytes()));
    if (dbias) std::memset(dbias, 0, size_t(results * rows.tap_bytes()));
    return;
  }
  std::vector<std::vector<size_t>> terms(static_cast<size_t>(results));  // of each result
  for (size_t n = 0; n < of_kernel.size(); ++n) terms[size_t(of_kernel[n])].push_back(n);

  // Cut by shapes alone: the order of sums is the same on any number of threads.
  const int64_t summed = int64_t(terms.front().size()), size = pixels(p.window) * p.channels;
  const int64_t set = size + (dbias ? p.channels : 0);
  const int64_t bytes = summed * (rows.in_bytes() + rows.out_bytes());
  const int64_t affordable = std::max<int64_t>(bytes / 4, 64 << 10) / (set * int64_t(sizeof(double)));
  const int64_t wanted = std::clamp<int64_t>(std::min(bytes / kPartBytes, affordable), 1, kMostParts);
  const Boxes boxes(p, summed, wanted);
  const int64_t boxes_summed = summed * boxes.count();
  const int64_t parts = std::min(boxes_summed, wanted);
  const std::unique_ptr<double[]> sums(new double[size_t(results * parts * set)]());
  parallel_for(pool, results * parts, [&](int64_t task) {
    double* const own = sums.get() + task * set;
    Correlation correlation(p, rows, kernels, own, dbias ? own + size : nullptr);
    const Range range = part(boxes_summed, parts, task % parts);
    for (int64_t i = range.begin; i < range.end; ++i) {
      const size_t n = terms[size_t(task / parts)][size_t(i / boxes.count())];
      correlation.add(x + of_x[n] * rows.in_bytes(), g + of_g[n] * rows.out_bytes(), boxes[i % boxes.count()]);
    }
  });
  parallel_for(pool, results, [&](int64_t r) {
    const double* const own = sums.get() + r * parts * set;
    write_part_sums(own, parts, set, size, state_dtype(p.dtype), dkernel + r * rows.kernel_bytes());
    if (dbias) write_part_sums(own + size, parts, set, p.channels, state_dtype(p.dtype), dbias + r * rows.tap_bytes());
  });
}

}  // namespace cssm
