// linear_scan over lanes that are not contiguous (a scan along the last axis, tiny rows, flags per lane): lanes are
// gathered into tiles of (steps, lanes) in the computed type, run as one contiguous block, and scattered back.
#pragma once

#include "cpu/linear_scan_task.h"

namespace cssm {

template <class N>
class LinearScanTiles {
 public:
  explicit LinearScanTiles(const ScanContext& context) : c_(context), p_(context.problem) {}

  void forward(const LinearScanForward& f, int64_t task) const {
    const Walk a = c_.along(kA), x = c_.along(kX), h = c_.along(kH), reset = c_.along(kReset);
    Tile a_tile, x_tile, h_tile;
    Flags flags;
    std::vector<C> state;
    for_lanes(task, [&](const std::vector<Offsets>& lanes) {
      read_states(p_.h0, kH0, lanes, state);
      for (int64_t begin = 0; begin < c_.view.steps; begin += kSteps) {
        const int64_t steps = std::min(kSteps, c_.view.steps - begin);
        gather(p_.a, kA, a, begin, steps, lanes, a_tile);
        gather(f.x, kX, x, begin, steps, lanes, x_tile);
        h_tile.resize(x_tile.size());
        const char* const x_at = bytes(x_tile);
        char* const h_at = bytes(h_tile);
        ForwardBlock block{};
        const Common common(*this, a_tile, reset, begin, steps, lanes, state, flags);
        common.set(block);
        block.x = &x_at;
        block.x_step = lanes.size();
        block.h = &h_at;
        block.h_step = lanes.size();
        c_.kernels.forward[kComputed](block);
        scatter(h_tile, h, begin, steps, lanes, f.h);
      }
      write_states(state, lanes, f.final_state);
    });
  }

  void backward(const LinearScanBackward& b, int64_t task, double* sums) const {
    const Walk a = c_.against(kA), h = c_.against(kH), reset = c_.against(kReset);
    Tile a_tile, ct_tile, h_tile, dx_tile, da_tile;
    Flags flags;
    std::vector<C> state, h0;
    for_lanes(task, [&](const std::vector<Offsets>& lanes) {
      read_states(b.ct_final, kState, lanes, state);
      for (int64_t begin = 0; begin < c_.view.steps; begin += kSteps) {
        const int64_t steps = std::min(kSteps, c_.view.steps - begin);
        gather(p_.a, kA, a, begin, steps, lanes, a_tile);
        if (b.ct) gather(b.ct, kH, h, begin, steps, lanes, ct_tile);
        dx_tile.resize(a_tile.size());
        const char* const ct_at = bytes(ct_tile);
        char* const dx_at = bytes(dx_tile);
        BackwardBlock block{};
        const Common common(*this, a_tile, reset, begin, steps, lanes, state, flags);
        common.set(block);
        block.ct = b.ct ? &ct_at : nullptr;
        block.dx = &dx_at;
        block.ct_step = block.h_step = block.dx_step = block.da_step = lanes.size();
        const char* h_at = nullptr;
        char* da_at = nullptr;
        if (b.da) {
          const bool reaches_first = begin + steps == c_.view.steps;
          gather(b.h, kH, h, begin + 1, steps - reaches_first, lanes, h_tile);
          h_tile.resize(a_tile.size());
          if (reaches_first) {
            read_states(p_.h0, kH0, lanes, h0);
            std::copy(h0.begin(), h0.end(), h_tile.end() - h0.size());
          }
          da_tile.resize(a_tile.size());
          h_at = bytes(h_tile);
          da_at = bytes(da_tile);
          block.grad_a = GradA::kStore;
          block.h_prev = &h_at;
          block.da = &da_at;
        }
        c_.kernels.backward[kComputed](block);
        scatter(dx_tile, h, begin, steps, lanes, b.dx);
        if (sums) {
          add(da_tile, a, begin, steps, lanes, sums);
        } else if (b.da) {
          scatter(da_tile, a, begin, steps, lanes, b.da, kA);
        }
      }
      write_states(state, lanes, b.dh0);
    });
  }

 private:
  using S = typename N::S;
  using C = typename N::C;
  using Tile = std::vector<C>;
  using Flags = std::vector<uint8_t>;
  static constexpr int kComputed = int(state_dtype(N::kDType));
  static constexpr int kParts = N::kParts;
  static constexpr size_t kLanes = 32;
  static constexpr int64_t kSteps = 64;

  static const char* bytes(const Tile& tile) { return reinterpret_cast<const char*>(tile.data()); }
  static char* bytes(Tile& tile) { return reinterpret_cast<char*>(tile.data()); }

  // The operands every block has, and the storage their pointers point to.
  struct Common {
    Common(const LinearScanTiles& tiles, const Tile& a_tile, Walk reset, int64_t begin, int64_t steps,
           const std::vector<Offsets>& lanes, std::vector<C>& state, Flags& flags)
        : steps(steps), lanes(lanes.size()), a(bytes(a_tile)), state(reinterpret_cast<char*>(state.data())) {
      if (!tiles.p_.reset) return;
      flags.resize(steps * lanes.size());
      each(steps, lanes.size(), reset.step, [&](int64_t t, size_t p) {
        flags[t * lanes.size() + p] = tiles.p_.reset[lanes[p].at[kReset] + reset.start + (begin + t) * reset.step];
      });
      this->reset = flags.data();
    }
    void set(ScanBlock& block) const {
      block.steps = steps;
      block.runs = 1;
      block.lanes = &lanes;
      block.a = &a;
      block.a_per_lane = true;
      block.a_step = lanes;
      block.reset = reset ? &reset : nullptr;
      block.reset_per_lane = true;
      block.reset_step = lanes;
      block.state = &state;
    }
    int64_t steps, lanes;
    const char* a;
    const uint8_t* reset = nullptr;
    char* state;
  };

  template <class Body>
  void for_lanes(int64_t task, Body&& body) const {
    std::vector<Offsets> lanes;
    c_.for_units(task, [&](int64_t u, int64_t r) {
      lanes.push_back(c_.grid.offsets(u, r));
      if (lanes.size() < kLanes) return;
      body(lanes);
      lanes.clear();
    });
    if (!lanes.empty()) body(lanes);
  }

  // Calls copy(t, lane), the inner loop along whichever is likelier contiguous in memory.
  template <class Copy>
  static void each(int64_t steps, size_t lanes, int64_t time_step, Copy&& copy) {
    if (time_step == 1 || time_step == -1) {
      for (size_t p = 0; p < lanes; ++p) {
        for (int64_t t = 0; t < steps; ++t) copy(t, p);
      }
    } else {
      for (int64_t t = 0; t < steps; ++t) {
        for (size_t p = 0; p < lanes; ++p) copy(t, p);
      }
    }
  }

  void gather(const char* from, Operand operand, Walk time, int64_t begin, int64_t steps,
              const std::vector<Offsets>& lanes, Tile& tile) const {
    tile.resize(steps * lanes.size() * kParts);
    const S* base = reinterpret_cast<const S*>(from);
    each(steps, lanes.size(), time.step, [&](int64_t t, size_t p) {
      const S* element = base + (lanes[p].at[operand] + time.start + (begin + t) * time.step) * kParts;
      C* to = tile.data() + (t * lanes.size() + p) * kParts;
      for (int k = 0; k < kParts; ++k) to[k] = widened<C>(element[k]);
    });
  }

  void scatter(const Tile& tile, Walk time, int64_t begin, int64_t steps, const std::vector<Offsets>& lanes, char* to,
               Operand operand = kH) const {
    S* base = reinterpret_cast<S*>(to);
    each(steps, lanes.size(), time.step, [&](int64_t t, size_t p) {
      S* element = base + (lanes[p].at[operand] + time.start + (begin + t) * time.step) * kParts;
      const C* from = tile.data() + (t * lanes.size() + p) * kParts;
      for (int k = 0; k < kParts; ++k) element[k] = narrowed<S>(from[k]);
    });
  }

  void add(const Tile& tile, Walk time, int64_t begin, int64_t steps, const std::vector<Offsets>& lanes,
           double* sums) const {
    each(steps, lanes.size(), time.step, [&](int64_t t, size_t p) {
      double* element = sums + (lanes[p].at[kA] + time.start + (begin + t) * time.step) * kParts;
      const C* from = tile.data() + (t * lanes.size() + p) * kParts;
      for (int k = 0; k < kParts; ++k) element[k] += from[k];
    });
  }

  void read_states(const char* from, Operand operand, const std::vector<Offsets>& lanes, std::vector<C>& to) const {
    to.assign(lanes.size() * kParts, C(0));
    if (!from) return;
    for (size_t p = 0; p < lanes.size(); ++p) {
      std::memcpy(&to[p * kParts], from + lanes[p].at[operand] * N::kStateBytes, N::kStateBytes);
    }
  }

  void write_states(const std::vector<C>& state, const std::vector<Offsets>& lanes, char* to) const {
    if (!to) return;
    for (size_t p = 0; p < lanes.size(); ++p) {
      std::memcpy(to + lanes[p].at[kState] * N::kStateBytes, &state[p * kParts], N::kStateBytes);
    }
  }

  const ScanContext& c_;
  const LinearScanProblem& p_;
};

}  // namespace cssm
