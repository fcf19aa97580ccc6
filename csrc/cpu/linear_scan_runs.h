// linear_scan over runs of lanes that are contiguous in memory: operands are read and written in place.
#pragma once

#include "cpu/linear_scan_task.h"

namespace cssm {

template <class N>
class LinearScanRuns {
 public:
  explicit LinearScanRuns(const ScanContext& context) : c_(context), p_(context.problem) {}

  void forward(const LinearScanForward& f, int64_t task) const {
    const Walk a = c_.along(kA), x = c_.along(kX), h = c_.along(kH), reset = c_.along(kReset);
    for_panels(task, [&](Panel& panel) {
      panel.read_states(p_.h0, kH0, c_.view);
      const auto a_at = panel.pointers(p_.a, kA, a.start), x_at = panel.pointers(f.x, kX, x.start);
      const auto h_at = panel.pointers(f.h, kH, h.start);
      const auto reset_at = panel.pointers(p_.reset, kReset, reset.start, 1);
      ForwardBlock block{};
      set_common(block, panel);
      block.a = a_at.data();
      block.a_step = a.step;
      block.reset = p_.reset ? reset_at.data() : nullptr;
      block.reset_step = reset.step;
      block.x = x_at.data();
      block.x_step = x.step;
      block.h = h_at.data();
      block.h_step = h.step;
      c_.kernels.forward[int(N::kDType)](block);
      panel.write_states(f.final_state);
    });
  }

  // `sums`: where da is added up in double, or null if it is stored.
  void backward(const LinearScanBackward& b, int64_t task, double* sums) const {
    const Walk a = c_.against(kA), h = c_.against(kH), reset = c_.against(kReset);
    const int64_t last = c_.view.steps - 1;
    const int64_t da_bytes = sums ? N::kSumBytes : N::kElementBytes;
    char* const da = sums ? reinterpret_cast<char*>(sums) : b.da;
    std::vector<S> h0;
    for_panels(task, [&](Panel& panel) {
      panel.read_states(b.ct_final, kState, c_.view);
      auto a_at = panel.pointers(p_.a, kA, a.start);
      auto ct_at = panel.pointers(b.ct, kH, h.start);
      auto dx_at = panel.pointers(b.dx, kH, h.start);
      auto reset_at = panel.pointers(p_.reset, kReset, reset.start, 1);
      auto da_at = panel.pointers(da, kA, a.start, da_bytes);
      const auto h_prev_at = panel.pointers(b.da ? b.h : nullptr, kH, h.start + h.step);
      BackwardBlock block{};
      set_common(block, panel);
      block.a = a_at.data();
      block.a_step = a.step;
      block.reset = p_.reset ? reset_at.data() : nullptr;
      block.reset_step = reset.step;
      block.steps = b.da ? last : c_.view.steps;
      block.ct = b.ct ? ct_at.data() : nullptr;
      block.ct_step = h.step;
      block.h_prev = h_prev_at.data();
      block.h_step = h.step;
      block.dx = dx_at.data();
      block.dx_step = h.step;
      block.grad_a = !b.da              ? GradA::kNone
                     : !sums            ? GradA::kStore
                     : block.a_per_lane ? GradA::kAddLanes
                                        : GradA::kAddRun;
      block.da = da_at.data();
      block.da_step = a.step;
      c_.kernels.backward[int(N::kDType)](block);
      if (b.da) {  // the first step, which follows h0
        const auto h0_at = panel.storage_rows(p_.h0, kH0, c_.view, h0);
        advance(a_at, last * a.step * N::kElementBytes);
        advance(ct_at, last * h.step * N::kElementBytes);
        advance(dx_at, last * h.step * N::kElementBytes);
        advance(reset_at, last * reset.step);
        advance(da_at, last * a.step * da_bytes);
        block.steps = 1;
        block.h_prev = h0_at.data();
        c_.kernels.backward[int(N::kDType)](block);
      }
      panel.write_states(b.dh0);
    });
  }

 private:
  using S = typename N::S;
  using C = typename N::C;

  static constexpr int64_t kMaxPanelRuns = 128;
  static constexpr int64_t kMaxPanelBytes = 32 << 10;

  // Runs advanced together, their states side by side in L1.
  struct Panel {
    std::vector<int64_t> lanes;
    std::vector<Offsets> at;
    std::vector<char*> states;
    std::vector<C> rows;

    void place_states() {
      constexpr int64_t kLine = 64 / sizeof(C);
      const auto padded = [](int64_t n) { return (n * N::kParts + kLine - 1) / kLine * kLine; };
      int64_t total = kLine;
      for (int64_t n : lanes) total += padded(n);
      rows.resize(total);
      auto begin = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(rows.data()) + 63) / 64 * 64);
      states.clear();
      for (int64_t n : lanes) {
        states.push_back(begin);
        begin += padded(n) * sizeof(C);
      }
    }

    template <class Pointer>
    std::vector<Pointer> pointers(Pointer base, Operand operand, int64_t start,
                                  int64_t element_bytes = N::kElementBytes) const {
      std::vector<Pointer> out;
      if (!base) return out;
      for (const Offsets& run : at) out.push_back(base + (run.at[operand] + start) * element_bytes);
      return out;
    }

    // States from an operand in the state's dtype; zero if it is null.
    void read_states(const char* from, Operand operand, const ScanView& view) {
      for (size_t i = 0; i < at.size(); ++i) {
        read(from, at[i].at[operand], view.dims.back().stride[operand], lanes[i], reinterpret_cast<C*>(states[i]));
      }
    }

    void write_states(char* to) const {
      if (!to) return;
      for (size_t i = 0; i < at.size(); ++i) {
        std::memcpy(to + at[i].at[kState] * N::kStateBytes, states[i], lanes[i] * N::kStateBytes);
      }
    }

    // The same as read_states into rows of the storage type.
    std::vector<const char*> storage_rows(const char* from, Operand operand, const ScanView& view,
                                          std::vector<S>& into) const {
      int64_t total = 0;
      for (int64_t n : lanes) total += n * N::kParts;
      into.resize(total);
      std::vector<const char*> out;
      std::vector<C> wide;
      S* row = into.data();
      for (size_t i = 0; i < at.size(); ++i) {
        wide.resize(lanes[i] * N::kParts);
        read(from, at[i].at[operand], view.dims.back().stride[operand], lanes[i], wide.data());
        out.push_back(reinterpret_cast<const char*>(row));
        for (C value : wide) *row++ = narrowed<S>(value);
      }
      return out;
    }

    static void read(const char* from, int64_t offset, int64_t lane_stride, int64_t n, C* to) {
      if (!from) {
        std::fill_n(to, n * N::kParts, C(0));
        return;
      }
      const C* base = reinterpret_cast<const C*>(from) + offset * N::kParts;
      for (int64_t i = 0; i < n; ++i) {
        for (int k = 0; k < N::kParts; ++k) to[i * N::kParts + k] = base[i * lane_stride * N::kParts + k];
      }
    }
  };

  template <class Body>
  void for_panels(int64_t task, Body&& body) const {
    Panel panel;
    int64_t bytes = 0;
    const auto flush = [&] {
      panel.place_states();
      body(panel);
      panel.lanes.clear();
      panel.at.clear();
      bytes = 0;
    };
    c_.for_units(task, [&](int64_t u, int64_t r) {
      panel.lanes.push_back(c_.grid.run_length(u, r));
      panel.at.push_back(c_.grid.offsets(u, r));
      bytes += panel.lanes.back() * N::kStateBytes;
      if (bytes >= kMaxPanelBytes || int64_t(panel.at.size()) == kMaxPanelRuns) flush();
    });
    if (!panel.at.empty()) flush();
  }

  template <class Block>
  void set_common(Block& block, const Panel& panel) const {
    block.steps = c_.view.steps;
    block.runs = panel.at.size();
    block.lanes = panel.lanes.data();
    block.a_per_lane = c_.view.dims.back().stride[kA] == 1;
    block.state = panel.states.data();
    block.stream = c_.stream;
  }

  template <class Pointer>
  static void advance(std::vector<Pointer>& pointers, int64_t bytes) {
    for (Pointer& pointer : pointers) pointer += bytes;
  }

  const ScanContext& c_;
  const LinearScanProblem& p_;
};

}  // namespace cssm
