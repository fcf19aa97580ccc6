#include "cpu/linear_scan_block.h"

#include "common/simd.h"

namespace cssm {
namespace CSSM_ISA {
namespace {

// Calls body(offset, width constant) over n scalars: whole vectors, then 16-byte ones, then single elements.
template <class C, bool kComplex, class Body>
inline void for_each_vector(int64_t n, Body&& body) {
  constexpr int kWide = kVectorBytes / sizeof(C);
  constexpr int kQuad = 16 / sizeof(C);
  constexpr int kOne = kComplex ? 2 : 1;
  int64_t i = 0;
  for (; i + kWide <= n; i += kWide) body(i, std::integral_constant<int, kWide>{});
  if constexpr (kQuad < kWide && kQuad > kOne) {
    for (; i + kQuad <= n; i += kQuad) body(i, std::integral_constant<int, kQuad>{});
  }
  for (; i < n; i += kOne) body(i, std::integral_constant<int, kOne>{});
}

inline bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % kVectorBytes == 0; }

template <class S, class C, bool kComplex>
struct LinearScan {
  static constexpr int kParts = kComplex ? 2 : 1;
  // Steps taken with the state in registers. Rows are often a multiple of 4 KiB apart and so share L1 sets: their
  // number, operands times steps, should not exceed the ways by much.
  static constexpr int kUnroll = 2;
  static constexpr bool kCanStream = sizeof(S) == sizeof(C);

  struct BackwardRun {
    const S *a, *ct, *h_prev;
    S* dx;
    char* da;
    int64_t a_step, ct_step, h_step, dx_step, da_step;
  };

  template <int W>
  using Math = Arithmetic<C, W, kComplex>;

  static S* at(char* base, int64_t elements) { return reinterpret_cast<S*>(base) + elements * kParts; }
  static const S* at(const char* base, int64_t elements) {
    return reinterpret_cast<const S*>(base) + elements * kParts;
  }

  template <bool kAPerLane, int W>
  static Vec<C, W> load_a(const S* a, const C* a_element, int64_t i) {
    if constexpr (kAPerLane) {
      return load<C, W>(a + i);
    } else {
      return Math<W>::fill(a_element);
    }
  }

  static void read_element(const S* from, C (&to)[2]) {
    for (int k = 0; k < kParts; ++k) to[k] = load<C, 1>(from + k)[0];
  }

  // Where runs are short, and far apart, the hardware does not foresee the next ones. Into L2: rows a multiple of 4 KiB
  // apart would push each other out of L1.
  static constexpr int64_t kPrefetchSteps = 8, kPrefetchBelowBytes = 2048;
  static constexpr int kIntoL2 = 2;

  template <bool kStream, int W>
  static void put(S* to, Vec<C, W> value) {
    if constexpr (kStream && W * sizeof(C) == kVectorBytes) {
      store_streaming<C, W>(to, value);
    } else {
      store<C, W>(to, value);
    }
  }

  // kSteps steps at once: the state stays in registers between them.
  template <bool kAPerLane, bool kStream, int kSteps, bool kPrefetch = false>
  static void step_forward(int64_t n, const S* a, int64_t a_step, const S* x, int64_t x_step, C* state, S* h,
                           int64_t h_step) {
    C a_element[kSteps][2];
    if constexpr (!kAPerLane) {
      for (int s = 0; s < kSteps; ++s) read_element(a + s * a_step, a_element[s]);
    }
    for_each_vector<C, kComplex>(n, [&](int64_t i, auto width) {
      constexpr int W = width;
      auto z = load<C, W>(state + i);
      for (int s = 0; s < kSteps; ++s) {
        if constexpr (kPrefetch && W * sizeof(C) == kVectorBytes) {
          __builtin_prefetch(x + (s + kPrefetchSteps) * x_step + i, 0, kIntoL2);
          __builtin_prefetch(a + (s + kPrefetchSteps) * a_step + i, 0, kIntoL2);
          __builtin_prefetch(h + (s + kPrefetchSteps) * h_step + i, 1, kIntoL2);
        }
        z = Math<W>::multiply_add(load_a<kAPerLane, W>(a + s * a_step, a_element[s], i), z,
                                  load<C, W>(x + s * x_step + i));
        put<kStream, W>(h + s * h_step + i, z);
      }
      store<C, W>(state + i, z);
    });
  }

  static void copy_forward(int64_t n, const S* x, C* state, S* h) {
    for_each_vector<C, kComplex>(n, [&](int64_t i, auto width) {
      constexpr int W = width;
      auto next = load<C, W>(x + i);
      store<C, W>(state + i, next);
      store<C, W>(h + i, next);
    });
  }

  template <bool kAPerLane, int kSteps>
  static void forward_steps(const ForwardBlock& b, int64_t t) {
    const int64_t a_step = b.a_step * kParts, x_step = b.x_step * kParts, h_step = b.h_step * kParts;
    for (int64_t r = 0; r < b.runs; ++r) {
      const int64_t n = b.lanes[r] * kParts;
      const S* a = at(b.a[r], t * b.a_step);
      const S* x = at(b.x[r], t * b.x_step);
      S* h = at(b.h[r], t * b.h_step);
      C* state = reinterpret_cast<C*>(b.state[r]);
      if constexpr (kCanStream) {
        if (b.stream && aligned(h) && h_step * sizeof(S) % kVectorBytes == 0) {
          step_forward<kAPerLane, true, kSteps>(n, a, a_step, x, x_step, state, h, h_step);
          continue;
        }
      }
      if (kAPerLane && n * int64_t(sizeof(S)) <= kPrefetchBelowBytes) {
        step_forward<kAPerLane, false, kSteps, kAPerLane>(n, a, a_step, x, x_step, state, h, h_step);
      } else {
        step_forward<kAPerLane, false, kSteps>(n, a, a_step, x, x_step, state, h, h_step);
      }
    }
  }

  template <bool kAPerLane>
  static void forward_with_resets(const ForwardBlock& b) {
    for (int64_t t = 0; t < b.steps; ++t) {
      for (int64_t r = 0; r < b.runs; ++r) {
        const int64_t n = b.lanes[r] * kParts;
        const S* x = at(b.x[r], t * b.x_step);
        S* h = at(b.h[r], t * b.h_step);
        C* state = reinterpret_cast<C*>(b.state[r]);
        const uint8_t* reset = b.reset[r] + t * b.reset_step;
        if (!b.reset_per_lane && *reset) {
          copy_forward(n, x, state, h);
          continue;
        }
        step_forward<kAPerLane, false, 1>(n, at(b.a[r], t * b.a_step), 0, x, 0, state, h, 0);
        if (!b.reset_per_lane) continue;
        for (int64_t i = 0; i < n; ++i) {
          if (!reset[i / kParts]) continue;
          state[i] = load<C, 1>(x + i)[0];
          h[i] = x[i];
        }
      }
    }
  }

  template <bool kAPerLane>
  static void forward_all(const ForwardBlock& b) {
    if (b.reset) return forward_with_resets<kAPerLane>(b);
    int64_t t = 0;
    for (; t + kUnroll <= b.steps; t += kUnroll) forward_steps<kAPerLane, kUnroll>(b, t);
    for (; t < b.steps; ++t) forward_steps<kAPerLane, 1>(b, t);
    if (b.stream) streaming_fence();
  }

  static void forward(const ForwardBlock& b) { b.a_per_lane ? forward_all<true>(b) : forward_all<false>(b); }

  template <int W>
  static void add_lanes(double* sums, Vec<C, W> values) {
    for (int k = 0; k < W; ++k) sums[k] += values[k];
  }

  template <bool kAPerLane, GradA kGradA, bool kStream, int kSteps, bool kPrefetch = false>
  static void step_backward(int64_t n, const BackwardRun& run, C* state) {
    C a_element[kSteps][2];
    if constexpr (!kAPerLane) {
      for (int s = 0; s < kSteps; ++s) read_element(run.a + s * run.a_step, a_element[s]);
    }
    constexpr int kWide = kVectorBytes / sizeof(C);
    Vec<C, kWide> wide_sum[kSteps] = {};
    double run_sum[kSteps][2] = {};
    for_each_vector<C, kComplex>(n, [&](int64_t i, auto width) {
      constexpr int W = width;
      auto carry = load<C, W>(state + i);
      Vec<C, W> lane_sum{};
      for (int s = 0; s < kSteps; ++s) {
        if constexpr (kPrefetch && W * sizeof(C) == kVectorBytes) {
          if (run.ct) __builtin_prefetch(run.ct + (s + kPrefetchSteps) * run.ct_step + i, 0, kIntoL2);
          __builtin_prefetch(run.a + (s + kPrefetchSteps) * run.a_step + i, 0, kIntoL2);
          if (run.h_prev) __builtin_prefetch(run.h_prev + (s + kPrefetchSteps) * run.h_step + i, 0, kIntoL2);
          __builtin_prefetch(run.dx + (s + kPrefetchSteps) * run.dx_step + i, 1, kIntoL2);
        }
        auto g = carry;
        if (run.ct) g += load<C, W>(run.ct + s * run.ct_step + i);
        put<kStream, W>(run.dx + s * run.dx_step + i, g);
        carry = Math<W>::multiply(load_a<kAPerLane, W>(run.a + s * run.a_step, a_element[s], i), g);
        if constexpr (kGradA == GradA::kNone) continue;
        auto h_prev = load<C, W>(run.h_prev + s * run.h_step + i);
        if constexpr (kGradA == GradA::kStore) {
          put<kStream, W>(reinterpret_cast<S*>(run.da) + s * run.da_step + i, Math<W>::multiply(g, h_prev));
        } else if constexpr (kGradA == GradA::kAddLanes) {
          lane_sum = Math<W>::multiply_add(g, h_prev, lane_sum);
          if (s + 1 == kSteps || run.da_step != 0) {
            add_lanes<W>(reinterpret_cast<double*>(run.da) + s * run.da_step + i, lane_sum);
            lane_sum = Vec<C, W>{};
          }
        } else if constexpr (W == kWide) {
          wide_sum[s] = Math<W>::multiply_add(g, h_prev, wide_sum[s]);
        } else {
          auto product = Math<W>::multiply(g, h_prev);
          for (int k = 0; k < W; ++k) run_sum[s][k % kParts] += product[k];
        }
      }
      store<C, W>(state + i, carry);
    });
    if constexpr (kGradA == GradA::kAddRun) {
      for (int s = 0; s < kSteps; ++s) {
        for (int k = 0; k < kWide; ++k) run_sum[s][k % kParts] += wide_sum[s][k];
        for (int k = 0; k < kParts; ++k) reinterpret_cast<double*>(run.da)[s * run.da_step + k] += run_sum[s][k];
      }
    }
  }

  // The state before this step was cleared: nothing flows back through it.
  template <GradA kGradA>
  static void cut_backward(int64_t n, const S* ct, C* state, S* dx, char* da) {
    for_each_vector<C, kComplex>(n, [&](int64_t i, auto width) {
      constexpr int W = width;
      auto g = load<C, W>(state + i);
      if (ct) g += load<C, W>(ct + i);
      store<C, W>(dx + i, g);
      store<C, W>(state + i, Vec<C, W>{});
      if constexpr (kGradA == GradA::kStore) store<C, W>(reinterpret_cast<S*>(da) + i, Vec<C, W>{});
    });
  }

  // One run's pointers at step t; steps in scalars.
  template <GradA kGradA>
  static BackwardRun at_step(const BackwardBlock& b, int64_t r, int64_t t) {
    constexpr int64_t kDaBytes = (kGradA == GradA::kStore ? sizeof(S) : sizeof(double)) * kParts;
    BackwardRun run;
    run.a = at(b.a[r], t * b.a_step);
    run.ct = b.ct ? at(b.ct[r], t * b.ct_step) : nullptr;
    run.h_prev = kGradA == GradA::kNone ? nullptr : at(b.h_prev[r], t * b.h_step);
    run.dx = at(b.dx[r], t * b.dx_step);
    run.da = kGradA == GradA::kNone ? nullptr : b.da[r] + t * b.da_step * kDaBytes;
    run.a_step = b.a_step * kParts;
    run.ct_step = b.ct_step * kParts;
    run.h_step = b.h_step * kParts;
    run.dx_step = b.dx_step * kParts;
    run.da_step = b.da_step * kParts;
    return run;
  }

  template <bool kAPerLane, GradA kGradA, int kSteps>
  static void backward_steps(const BackwardBlock& b, int64_t t) {
    for (int64_t r = 0; r < b.runs; ++r) {
      const int64_t n = b.lanes[r] * kParts;
      const BackwardRun run = at_step<kGradA>(b, r, t);
      C* state = reinterpret_cast<C*>(b.state[r]);
      if constexpr (kCanStream) {
        const bool rows_aligned =
            aligned(run.dx) && run.dx_step * sizeof(S) % kVectorBytes == 0 &&
            (kGradA != GradA::kStore || (aligned(run.da) && run.da_step * sizeof(S) % kVectorBytes == 0));
        if (b.stream && rows_aligned) {
          step_backward<kAPerLane, kGradA, true, kSteps>(n, run, state);
          continue;
        }
      }
      if (kAPerLane && n * int64_t(sizeof(S)) <= kPrefetchBelowBytes) {
        step_backward<kAPerLane, kGradA, false, kSteps, kAPerLane>(n, run, state);
      } else {
        step_backward<kAPerLane, kGradA, false, kSteps>(n, run, state);
      }
    }
  }

  template <bool kAPerLane, GradA kGradA>
  static void backward_with_resets(const BackwardBlock& b) {
    for (int64_t t = 0; t < b.steps; ++t) {
      for (int64_t r = 0; r < b.runs; ++r) {
        const int64_t n = b.lanes[r] * kParts;
        const BackwardRun run = at_step<kGradA>(b, r, t);
        C* state = reinterpret_cast<C*>(b.state[r]);
        const uint8_t* reset = b.reset[r] + t * b.reset_step;
        if (!b.reset_per_lane && *reset) {
          cut_backward<kGradA>(n, run.ct, state, run.dx, run.da);
          continue;
        }
        step_backward<kAPerLane, kGradA, false, 1>(n, run, state);
        if (!b.reset_per_lane) continue;
        for (int64_t i = 0; i < n; ++i) {  // the driver asks for kStore or kNone with flags per lane
          if (!reset[i / kParts]) continue;
          state[i] = 0;
          if constexpr (kGradA == GradA::kStore) store<C, 1>(reinterpret_cast<S*>(run.da) + i, Vec<C, 1>{});
        }
      }
    }
  }

  template <bool kAPerLane, GradA kGradA>
  static void backward_all(const BackwardBlock& b) {
    if (b.reset) return backward_with_resets<kAPerLane, kGradA>(b);
    int64_t t = 0;
    for (; t + kUnroll <= b.steps; t += kUnroll) backward_steps<kAPerLane, kGradA, kUnroll>(b, t);
    for (; t < b.steps; ++t) backward_steps<kAPerLane, kGradA, 1>(b, t);
    if (b.stream) streaming_fence();
  }

  static void backward(const BackwardBlock& b) {
    switch (b.grad_a) {
      case GradA::kNone:
        return b.a_per_lane ? backward_all<true, GradA::kNone>(b) : backward_all<false, GradA::kNone>(b);
      case GradA::kStore: return backward_all<true, GradA::kStore>(b);
      case GradA::kAddLanes: return backward_all<true, GradA::kAddLanes>(b);
      case GradA::kAddRun: return backward_all<false, GradA::kAddRun>(b);
    }
  }
};

}  // namespace

const LinearScanKernels& linear_scan_kernels() {
  static constexpr LinearScanKernels kernels = {
      {LinearScan<float, float, false>::forward, LinearScan<double, double, false>::forward,
       LinearScan<float, float, true>::forward, LinearScan<double, double, true>::forward,
       LinearScan<BFloat16, float, false>::forward, LinearScan<Float16, float, false>::forward},
      {LinearScan<float, float, false>::backward, LinearScan<double, double, false>::backward,
       LinearScan<float, float, true>::backward, LinearScan<double, double, true>::backward,
       LinearScan<BFloat16, float, false>::backward, LinearScan<Float16, float, false>::backward}};
  return kernels;
}

}  // namespace CSSM_ISA
}  // namespace cssm
