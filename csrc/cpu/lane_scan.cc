#include "cpu/lane_scan.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/memory.h"
#include "common/task_grid.h"
#include "common/workspace.h"
#include "cpu/lane_sums.h"

namespace cssm {
namespace {

// What a block's tiles may take: a share of the second-level cache.
constexpr int64_t kTileBytes = 192 << 10;
constexpr int64_t kMostLanes = 256, kFewestSteps = 8, kMostSteps = 64;

LaneNumber number_of(DType dtype) {
  switch (dtype) {
    case DType::kF64: return LaneNumber::kF64;
    case DType::kC64: return LaneNumber::kC64;
    case DType::kC128: return LaneNumber::kC128;
    default: return LaneNumber::kF32;
  }
}

// A box of lanes through all of time, block after block, on one thread.
class Task {
 public:
  Task(const LaneScanProblem& p, const LaneKernels& kernels, const LaneBox& box, bool backward)
      : p_(p),
        kernels_(kernels),
        box_(box),
        step_(kernels.steps[int(p.op)][int(number_of(p.dtype))]),
        is_double_(p.dtype == DType::kF64 || p.dtype == DType::kC128),
        scalar_(is_double_ ? 8 : 4),
        parts_(is_complex(p.dtype) ? 2 : 1),
        steps_(p.shape[p.axis]) {
    // Scalars of a lane and step, for each part of a number.
    int64_t rows = (p.reset.data ? 1 : 0) + components() + (backward ? states() : 0);
    for (const LaneArray& in : p.in) {
      if (in.data && in.strides[p.axis] != 0) rows += (backward ? 2 : 1) * in.rows * in.columns;
    }
    const int64_t bytes = rows * parts_ * scalar_;
    most_lanes_ = kTileBytes / (bytes * std::min(steps_, kFewestSteps)) / kLaneGroup * kLaneGroup;
    most_lanes_ = std::clamp(most_lanes_, kLaneGroup, kMostLanes);
    const int64_t lanes = whole_groups(LaneBlocks(box, most_lanes_).lanes());
    pitch_ = lanes + kLaneGroup;  // rows a power of two apart would share few sets of the first-level cache
    most_steps_ = std::clamp(kTileBytes / (bytes * lanes), kFewestSteps, kMostSteps);
    most_steps_ = std::min(most_steps_, steps_);
  }

  void forward(const LaneScanForward& f) {
    LaneSegment s = segment(f.y, nullptr);
    for_each_block([&] {
      start_state(s);
      for (int64_t begin = 0; begin < steps_; begin += most_steps_) {
        read_inputs(s, begin);
        step_.forward(s);
        copy_out(f.y, kYSlot, s.y, begin, s.steps);
      }
      if (step_.leave) step_.leave(s);
      finish(f.final_state, kFinalSlot, s.state);
    });
  }

  // `sums`: where gradients of broadcast operands are added up, by slot; null where they are stored.
  void backward(const LaneScanBackward& b, double* const (&sums)[kNumLaneSlots]) {
    LaneSegment s = segment(b.ct, &b);
    const int64_t state_bytes = states() * parts_ * pitch_ * scalar_;
    const int64_t last = (steps_ - 1) / most_steps_ * most_steps_;
    for_each_block([&] {
      start_state(s);
      for (int64_t begin = 0; begin < last; begin += most_steps_) {
        std::memcpy(checkpoint(begin, state_bytes), s.state, state_bytes);
        run_states(s, begin);
        std::memcpy(s.state, state_after(s), state_bytes);
      }
      start(b.ct_final, kFinalSlot, s.ct_state);
      for (int64_t begin = last; begin >= 0; begin -= most_steps_) {
        if (begin < last) std::memcpy(s.state, checkpoint(begin, state_bytes), state_bytes);
        run_states(s, begin);
        if (b.ct.data) copy_in(b.ct, kYSlot, s.ct, begin, s.steps);
        for (int i = 0; i < kMaxLaneInputs; ++i) {
          const LaneTile& tile = s.grad[i];
          if (tile.adds) std::memset(tile.data, 0, tile_rows(p_.in[i], s.steps) * parts_ * pitch_ * scalar_);
        }
        step_.backward(s);
        for (int i = 0; i < kMaxLaneInputs; ++i) {
          if (!s.grad[i].data) continue;
          if (sums[i]) {
            add_up(p_.in[i], i, s.grad[i], begin, s.steps, sums[i]);
          } else {
            copy_out(b.grad[i], i, s.grad[i], begin, s.steps);
          }
        }
      }
      if (!b.dh0.data) return;
      if (sums[kH0Slot]) {
        add_up(state_components(b.dh0), kH0Slot, state_tile(s.ct_state), 0, 1, sums[kH0Slot]);
      } else {
        finish(b.dh0, kH0Slot, s.ct_state);
      }
    });
  }

 private:
  // Rows of the state, and of its cotangent.
  int64_t components() const { return p_.state_rows * p_.state_columns; }
  int64_t states() const { return components() * step_.state_parts; }

  int64_t tile_rows(const LaneArray& array, int64_t steps) const {
    return array.rows * array.columns * (array.strides[p_.axis] == 0 ? 1 : steps);
  }

  // Tiles in working memory, and the pointers between them that hold for every block.
  LaneSegment segment(const LaneArray& y, const LaneScanBackward* b) {
    LaneSegment s{};
    s.plane = pitch_;
    s.sizes[0] = p_.sizes[0];
    s.sizes[1] = p_.sizes[1];
    s.option = p_.option;
    s.state_row = parts_ * pitch_;
    s.state_step = b ? states() * s.state_row : 0;
    int64_t scalars = 0;
    const auto take = [&](int64_t rows) {
      const int64_t at = scalars;
      scalars += rows * parts_ * pitch_;
      return at;
    };
    int64_t in[kMaxLaneInputs], grad[kMaxLaneInputs];
    for (int i = 0; i < kMaxLaneInputs; ++i) {
      in[i] = p_.in[i].data ? take(tile_rows(p_.in[i], most_steps_)) : 0;
      grad[i] = b && b->grad[i].data ? take(tile_rows(p_.in[i], most_steps_)) : 0;
    }
    const int64_t reset = p_.reset.data ? take(most_steps_) : 0;
    const int64_t outputs = y.data ? take(tile_rows(y, most_steps_)) : 0;
    const int64_t state = take(states() * (b ? most_steps_ + 1 : 1));
    const int64_t ct_state = take(b ? components() : 0);
    const int64_t segments = (steps_ + most_steps_ - 1) / most_steps_;
    const int64_t checkpoints = take(b ? states() * (segments - 1) : 0);
    char* const memory = workspace(Purpose::kBlock).get<char>(scalars * scalar_);
    const auto tile = [&](const LaneArray& array, int64_t at) {
      LaneTile out{};
      if (!array.data) return out;
      out.real = parts_ == 2 && array.parts() == 1;
      out.data = memory + at * scalar_;
      out.column = array.columns > 1 ? parts_ * pitch_ : 0;
      out.row = array.rows > 1 ? array.columns * parts_ * pitch_ : 0;
      out.step = array.strides[p_.axis] == 0 ? 0 : array.rows * array.columns * parts_ * pitch_;
      return out;
    };
    for (int i = 0; i < kMaxLaneInputs; ++i) {
      s.in[i] = tile(p_.in[i], in[i]);
      if (!b || !b->grad[i].data) continue;
      s.grad[i] = tile(p_.in[i], grad[i]);
      s.grad[i].adds = s.grad[i].step == 0 || (p_.op == LaneOp::kGated && s.grad[i].row == 0 && p_.sizes[0] > 1);
    }
    s.reset = tile(p_.reset, reset);
    (b ? s.ct : s.y) = tile(y, outputs);
    s.state = memory + state * scalar_;
    s.ct_state = memory + ct_state * scalar_;
    checkpoints_ = memory + checkpoints * scalar_;
    return s;
  }

  char* checkpoint(int64_t begin, int64_t state_bytes) const {
    return checkpoints_ + begin / most_steps_ * state_bytes;
  }

  char* state_after(const LaneSegment& s) const {
    return static_cast<char*>(s.state) + s.steps * s.state_step * scalar_;
  }

  void run_states(LaneSegment& s, int64_t begin) {
    read_inputs(s, begin);
    step_.forward(s);
  }

  template <class Body>
  void for_each_block(Body&& body) {
    const LaneBlocks blocks(box_, most_lanes_);
    for (int64_t i = 0; i < blocks.count(); ++i) {
      blocks.runs(i, runs_);
      lanes_ = 0;
      for (const LaneRun& run : runs_) lanes_ += run.lanes;
      body();
    }
  }

  void read_inputs(LaneSegment& s, int64_t begin) {
    s.steps = std::min(most_steps_, steps_ - begin);
    for (int i = 0; i < kMaxLaneInputs; ++i) {
      if (p_.in[i].data && !is_there(i, begin)) copy_in(p_.in[i], i, s.in[i], begin, s.steps);
    }
    if (!p_.reset.data || is_there(kResetSlot, begin)) return;
    for (const LaneRun& run : runs_) {
      const LaneRuns r = between(p_.reset, kResetSlot, s.reset, s.steps, run);
      const auto* from =
          reinterpret_cast<const uint8_t*>(p_.reset.data) + start_of(p_.reset, begin) + run.at[kResetSlot];
      kernels_.copies.gather_flags[is_double_](from, at(s.reset, run), r);
    }
  }

  // Whether a tile holds these elements already, of a block that shares them.
  bool is_there(int slot, int64_t begin) {
    Held& held = held_[slot];
    const LaneArray& array = slot == kResetSlot ? p_.reset : p_.in[slot];
    const int64_t first = array.strides[p_.axis] == 0 ? 0 : begin;
    bool same = held.begin == first && held.at.size() == runs_.size();
    for (size_t i = 0; same && i < runs_.size(); ++i) {
      same = held.at[i].first == runs_[i].at[slot] && held.at[i].second == runs_[i].lanes;
    }
    if (same) return true;
    held.begin = first;
    held.at.clear();
    for (const LaneRun& run : runs_) held.at.push_back({run.at[slot], run.lanes});
    return false;
  }

  int64_t start_of(const LaneArray& array, int64_t begin) const {
    return (p_.reverse ? steps_ - 1 - begin : begin) * array.strides[p_.axis];
  }

  LaneRuns between(const LaneArray& array, int slot, const LaneTile& tile, int64_t steps, const LaneRun& run) const {
    const int64_t time = array.strides[p_.axis];
    return {time == 0 ? 1 : steps,
            array.rows,
            array.columns,
            run.lanes,
            {p_.reverse ? -time : time, array.row_stride, array.column_stride, box_.inner_stride(slot)},
            {tile.step, tile.row, tile.column, 1},
            pitch_,
            array.elements() * int64_t(element_bytes(array.dtype)) >= last_level_cache_bytes()};
  }

  char* at(const LaneTile& tile, const LaneRun& run) const {
    return static_cast<char*>(tile.data) + run.begin * scalar_;
  }
  char* imaginary_at(const LaneTile& tile, const LaneRun& run) const { return at(tile, run) + pitch_ * scalar_; }

  void copy_in(const LaneArray& array, int slot, const LaneTile& tile, int64_t begin, int64_t steps) const {
    const LaneCopies& copies = kernels_.copies;
    const int type = int(array.dtype);
    for (const LaneRun& run : runs_) {
      const int64_t from = (start_of(array, begin) + run.at[slot]) * int64_t(element_bytes(array.dtype));
      const LaneRuns runs = between(array, slot, tile, steps, run);
      copies.gather[type](array.data + from, at(tile, run), runs);
      if (!array.imaginary) continue;
      const auto gather = array.conjugated ? copies.gather_negated[type] : copies.gather[type];
      gather(array.imaginary + from, imaginary_at(tile, run), runs);
    }
  }

  void copy_out(const LaneArray& array, int slot, const LaneTile& tile, int64_t begin, int64_t steps) const {
    const LaneCopies& copies = kernels_.copies;
    const int type = int(array.dtype);
    for (const LaneRun& run : runs_) {
      const int64_t to = (start_of(array, begin) + run.at[slot]) * int64_t(element_bytes(array.dtype));
      const LaneRuns runs = between(array, slot, tile, steps, run);
      copies.scatter[type](at(tile, run), array.data + to, runs);
      if (!array.imaginary) continue;
      const auto scatter = array.conjugated ? copies.scatter_negated[type] : copies.scatter[type];
      scatter(imaginary_at(tile, run), array.imaginary + to, runs);
    }
  }

  void add_up(const LaneArray& array, int slot, const LaneTile& tile, int64_t begin, int64_t steps,
              double* sums) const {
    for (const LaneRun& run : runs_) {
      const int64_t to = start_of(array, begin) + run.at[slot];
      kernels_.copies.add[is_double_][array.parts() == 2](at(tile, run), sums + to * array.parts(),
                                                          between(array, slot, tile, steps, run));
    }
  }

  // An initial or final state with all of its components, were it broadcast over some.
  LaneArray state_components(LaneArray array) const {
    array.rows = p_.state_rows;
    array.columns = p_.state_columns;
    return array;
  }
  LaneTile state_tile(void* state) const {
    return {state, 0, p_.state_columns * parts_ * pitch_, parts_ * pitch_, false, false};
  }

  void start(const LaneArray& array, int slot, void* state) const {
    if (array.data) {
      copy_in(state_components(array), slot, state_tile(state), 0, 1);
    } else {
      std::memset(state, 0, components() * parts_ * pitch_ * scalar_);
    }
  }
  void start_state(LaneSegment& s) const {
    s.lanes = whole_groups(lanes_);
    start(p_.h0, kH0Slot, s.state);
    if (step_.enter) step_.enter(s, p_.h0.data != nullptr);
  }
  void finish(const LaneArray& array, int slot, void* state) const {
    copy_out(state_components(array), slot, state_tile(state), 0, 1);
  }

  struct Held {
    int64_t begin = -1;
    std::vector<std::pair<int64_t, int64_t>> at;
  };

  const LaneScanProblem& p_;
  const LaneKernels& kernels_;
  const LaneBox& box_;
  const LaneStep& step_;
  const bool is_double_;
  const int64_t scalar_, parts_, steps_;
  int64_t most_lanes_, pitch_, most_steps_;
  char* checkpoints_ = nullptr;
  std::vector<LaneRun> runs_;
  int64_t lanes_ = 0;
  Held held_[kNumLaneSlots];
};

LaneBox box_of(const LaneScanProblem& p, const LaneArray& y, const LaneArray& final_state) {
  const LaneArray* arrays[kNumLaneSlots];
  for (int i = 0; i < kMaxLaneInputs; ++i) arrays[i] = &p.in[i];
  arrays[kResetSlot] = &p.reset;
  arrays[kH0Slot] = &p.h0;
  arrays[kYSlot] = &y;
  arrays[kFinalSlot] = &final_state;
  return make_lane_box(p.shape, p.axis, arrays);
}

template <class Body>
void for_each_box(const LaneBox& box, const LaneSplit& split, ThreadPool& pool, Body&& body) {
  parallel_for(pool, split.tasks, [&](int64_t task) {
    if (box.dims.empty()) return body(task, box);
    const Range range = part(box.dims[split.dim].size, split.tasks, task);
    body(task, box.part(split.dim, range.begin, range.end));
  });
}

bool is_whole(const LaneArray& array, const Dims& shape, int64_t axis_of_one) {
  for (size_t d = 0; d < shape.size(); ++d) {
    if (int64_t(d) != axis_of_one && array.dims[d] != shape[d]) return false;
  }
  return true;
}

}  // namespace

void lane_scan_forward(const LaneScanProblem& p, const LaneScanForward& f, const LaneKernels& kernels,
                       ThreadPool& pool) {
  const LaneBox box = box_of(p, f.y, f.final_state);
  for_each_box(box, split_lanes(box, {}), pool,
               [&](int64_t, const LaneBox& part) { Task(p, kernels, part, false).forward(f); });
}

void lane_scan_backward(const LaneScanProblem& p, const LaneScanBackward& b, const LaneKernels& kernels,
                        ThreadPool& pool) {
  const LaneBox box = box_of(p, b.ct, b.ct_final);
  const LaneArray* grads[kNumLaneSlots] = {};
  std::vector<std::pair<int, int64_t>> summed;
  const auto want = [&](int slot, const LaneArray& grad, bool stored) {
    if (!grad.data) return;
    grads[slot] = &grad;
    if (!stored) summed.push_back({slot, grad.elements() * grad.parts() * int64_t(sizeof(double))});
  };
  for (int i = 0; i < kMaxLaneInputs; ++i) want(i, b.grad[i], b.grad[i].data && is_whole(b.grad[i], p.shape, -1));
  want(kH0Slot, b.dh0,
       b.dh0.data && is_whole(b.dh0, p.shape, p.axis) && b.dh0.rows * b.dh0.columns == p.state_rows * p.state_columns);
  const LaneSplit split = split_lanes(box, summed);
  LaneSums sums[kNumLaneSlots];
  for (const auto& [slot, bytes] : summed) {
    const bool shared = !box.dims.empty() && box.dims[split.dim].stride[slot] != 0;
    sums[slot] = LaneSums(*grads[slot], shared ? 1 : split.tasks);
  }
  for_each_box(box, split, pool, [&](int64_t task, const LaneBox& part) {
    double* into[kNumLaneSlots];
    for (int slot = 0; slot < kNumLaneSlots; ++slot) {
      into[slot] = sums[slot].empty() ? nullptr : sums[slot].of_task(task);
    }
    Task(p, kernels, part, true).backward(b, into);
  });
  for (const auto& [slot, bytes] : summed) sums[slot].write(*grads[slot], pool);
}

}  // namespace cssm
