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
  static constexpr bool kCanStream = sizeof(S) == sizeof(C);

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

  template <bool kAPerLane, bool kStream>
  static void step_forward(int64_t n, const S* a, const S* x, C* state, S* h) {
    C a_element[2];
    if constexpr (!kAPerLane) read_element(a, a_element);
    for_each_vector<C, kComplex>(n, [&](int64_t i, auto width) {
      constexpr int W = width;
      auto next = Math<W>::multiply_add(load_a<kAPerLane, W>(a, a_element, i), load<C, W>(state + i),
                                        load<C, W>(x + i));
      store<C, W>(state + i, next);
      if constexpr (kStream && W * sizeof(C) == kVectorBytes) {
        store_streaming<C, W>(h + i, next);
      } else {
        store<C, W>(h + i, next);
      }
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

  template <bool kAPerLane>
  static void forward_steps(const ForwardBlock& b) {
    for (int64_t t = 0; t < b.steps; ++t) {
      for (int64_t r = 0; r < b.runs; ++r) {
        const int64_t n = b.lanes[r] * kParts;
        const S* a = at(b.a[r], t * b.a_step);
        const S* x = at(b.x[r], t * b.x_step);
        S* h = at(b.h[r], t * b.h_step);
        C* state = reinterpret_cast<C*>(b.state[r]);
        const uint8_t* reset = b.reset ? b.reset[r] + t * b.reset_step : nullptr;
        if (reset && !b.reset_per_lane && *reset) {
          copy_forward(n, x, state, h);
          continue;
        }
        if constexpr (kCanStream) {
          if (b.stream && aligned(h)) {
            step_forward<kAPerLane, true>(n, a, x, state, h);
            continue;
          }
        }
        step_forward<kAPerLane, false>(n, a, x, state, h);
        if (reset && b.reset_per_lane) {
          for (int64_t i = 0; i < n; ++i) {
            if (reset[i / kParts]) {
              state[i] = load<C, 1>(x + i)[0];
              h[i] = x[i];
            }
          }
        }
      }
    }
    if (b.stream) streaming_fence();
  }

  static void forward(const ForwardBlock& b) {
    b.a_per_lane ? forward_steps<true>(b) : forward_steps<false>(b);
  }

  template <int W>
  static void add_lanes(double* sums, Vec<C, W> values) {
    for (int k = 0; k < W; ++k) sums[k] += values[k];
  }

  template <bool kAPerLane, GradA kGradA, bool kStream>
  static void step_backward(int64_t n, const S* a, const S* ct, const S* h_prev, C* state, S* dx, char* da) {
    C a_element[2];
    if constexpr (!kAPerLane) read_element(a, a_element);
    constexpr int kWide = kVectorBytes / sizeof(C);
    Vec<C, kWide> wide_sum{};
    double run_sum[2] = {0, 0};
    for_each_vector<C, kComplex>(n, [&](int64_t i, auto width) {
      constexpr int W = width;
      auto put = [](S* to, Vec<C, W> value) {
        if constexpr (kStream && W * sizeof(C) == kVectorBytes) {
          store_streaming<C, W>(to, value);
        } else {
          store<C, W>(to, value);
        }
      };
      auto g = load<C, W>(state + i);
      if (ct) g += load<C, W>(ct + i);
      put(dx + i, g);
      store<C, W>(state + i, Math<W>::multiply(load_a<kAPerLane, W>(a, a_element, i), g));
      if constexpr (kGradA != GradA::kNone) {
        auto product = Math<W>::multiply(g, load<C, W>(h_prev + i));
        if constexpr (kGradA == GradA::kStore) {
          put(reinterpret_cast<S*>(da) + i, product);
        } else if constexpr (kGradA == GradA::kAddLanes) {
          add_lanes<W>(reinterpret_cast<double*>(da) + i, product);
        } else if constexpr (W == kWide) {
          wide_sum += product;
        } else {
          for (int k = 0; k < W; ++k) run_sum[k % kParts] += product[k];
        }
      }
    });
    if constexpr (kGradA == GradA::kAddRun) {
      for (int k = 0; k < kWide; ++k) run_sum[k % kParts] += wide_sum[k];
      for (int k = 0; k < kParts; ++k) reinterpret_cast<double*>(da)[k] += run_sum[k];
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

  template <bool kAPerLane, GradA kGradA>
  static void backward_steps(const BackwardBlock& b) {
    for (int64_t t = 0; t < b.steps; ++t) {
      for (int64_t r = 0; r < b.runs; ++r) {
        const int64_t n = b.lanes[r] * kParts;
        const S* a = at(b.a[r], t * b.a_step);
        const S* ct = b.ct ? at(b.ct[r], t * b.ct_step) : nullptr;
        const S* h_prev = kGradA == GradA::kNone ? nullptr : at(b.h_prev[r], t * b.h_step);
        S* dx = at(b.dx[r], t * b.dx_step);
        char* da = nullptr;
        if constexpr (kGradA == GradA::kStore) {
          da = reinterpret_cast<char*>(at(b.da[r], t * b.da_step));
        } else if constexpr (kGradA != GradA::kNone) {
          da = b.da[r] + t * b.da_step * kParts * int64_t(sizeof(double));
        }
        C* state = reinterpret_cast<C*>(b.state[r]);
        const uint8_t* reset = b.reset ? b.reset[r] + t * b.reset_step : nullptr;
        if (reset && !b.reset_per_lane && *reset) {
          cut_backward<kGradA>(n, ct, state, dx, da);
          continue;
        }
        if constexpr (kCanStream) {
          if (b.stream && aligned(dx) && (kGradA != GradA::kStore || aligned(da))) {
            step_backward<kAPerLane, kGradA, true>(n, a, ct, h_prev, state, dx, da);
            continue;
          }
        }
        step_backward<kAPerLane, kGradA, false>(n, a, ct, h_prev, state, dx, da);
        if (reset && b.reset_per_lane) {  // the driver asks for kStore or kNone with it
          for (int64_t i = 0; i < n; ++i) {
            if (!reset[i / kParts]) continue;
            state[i] = 0;
            if constexpr (kGradA == GradA::kStore) store<C, 1>(reinterpret_cast<S*>(da) + i, Vec<C, 1>{});
          }
        }
      }
    }
    if (b.stream) streaming_fence();
  }

  static void backward(const BackwardBlock& b) {
    switch (b.grad_a) {
      case GradA::kNone: return b.a_per_lane ? backward_steps<true, GradA::kNone>(b) : backward_steps<false, GradA::kNone>(b);
      case GradA::kStore: return backward_steps<true, GradA::kStore>(b);
      case GradA::kAddLanes: return backward_steps<true, GradA::kAddLanes>(b);
      case GradA::kAddRun: return backward_steps<false, GradA::kAddRun>(b);
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
